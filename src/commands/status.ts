import { NovaCommand } from '../cli/command.ts'
import { daemonCounts, daemonRows, queueRows, statusLines, statusView } from '../cli/status-view.ts'
import { serviceView } from '../cli/views.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'

export default class Status extends NovaCommand {
  static override summary = 'Show services with their versions, queue depths and counts.'
  static override description =
    'The queues are those that the services consume. If messages pile up in one, its daemons are slow or gone. Administrators see the whole cloud and each daemon; members see the counts of their project and how many daemons are up.'
  static override examples = ['<%= config.bin %> status', '<%= config.bin %> status -f json']
  static override view = statusView

  async run(): Promise<void> {
    await this.parse(Status)
    const bus = await this.bus()
    const status = await this.ask('status', {})
    const up = status.services.filter((service) => service.state === 'up')
    const queues = await bus.queues([...sharedTopics, ...up.map((service) => `${service.binary}.${service.host}`)])
    if (!this.forPeople) return this.showOne(statusView, { ...status, queues })
    this.write(statusLines(status))
    if (status.services.length > 0) await this.showRows(serviceView, status.services)
    else await this.showRows(daemonRows, daemonCounts(status))
    await this.showRows(queueRows, queues)
  }
}
