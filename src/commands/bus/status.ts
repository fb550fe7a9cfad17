import * as Flags from '@oclif/core/flags'
import { brokerLine, busView, orders, queueView, sorted } from '../../cli/bus-view.ts'
import { cellText } from '../../cli/cell-text.ts'
import { NovaCommand } from '../../cli/command.ts'

export default class BusStatus extends NovaCommand {
  static override summary = 'Show the broker and each queue: messages, consumers and rates.'
  static override description =
    'In and out are messages per second. A queue that has messages but no consumer stands first; what to do about it is below the table. With RabbitMQ this needs bus.management_url (docs/rabbitmq.md).'
  static override examples = [
    '<%= config.bin %> bus status',
    '<%= config.bin %> bus status --sort in',
    '<%= config.bin %> bus status -f value -c queue -c messages',
  ]
  static override flags = {
    sort: Flags.option({ options: orders })({ summary: 'Sort order: largest first, names from A to Z.' }),
  }
  static override readonly view = queueView

  async run(): Promise<void> {
    const { flags } = await this.parse(BusStatus)
    const { ownBusStatus } = await import('../../daemons/own-broker.ts')
    const here = await ownBusStatus(await this.settings(), await this.context())
    const status = here ?? (await this.ask('busStatus', {}))
    const queues = sorted(status.queues, flags.sort)
    const { format, columns } = this.look
    if (columns.length === 0 && (format === 'json' || format === 'yaml'))
      return this.showOne(busView, { broker: status.broker, queues })
    if (!this.forPeople) return this.showRows(queueView, queues)
    this.write(`broker  ${cellText(brokerLine(status.broker))}\n`)
    await this.showRows(queueView, queues)
    for (const { name, messages, advice } of queues)
      if (advice !== undefined) this.write(`${cellText(`${name}: ${messages} waiting. ${advice}`)}\n`)
    if (status.broker.partial !== undefined) this.note(cellText(status.broker.partial))
  }
}
