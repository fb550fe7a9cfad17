import { NovaCommand } from '../cli/command.ts'
import { statusView } from '../cli/status-view.ts'

export default class Status extends NovaCommand {
  static override summary = 'Show services with their versions, queue depths and counts.'
  static override examples = ['<%= config.bin %> status', '<%= config.bin %> status -f json']
  static override view = statusView

  async run(): Promise<void> {
    await this.parse(Status)
    const bus = await this.bus()
    const status = await this.ask('status', {})
    const servers = status.services
      .filter((service) => service.state === 'up')
      .map((service) => `${service.binary}.${service.host}`)
    const queues = await bus.queues(['conductor', 'scheduler', 'compute', ...servers])
    await this.showOne(statusView, { ...status, queues })
  }
}
