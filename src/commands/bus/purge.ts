import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { misuse } from '../../cli/command-error.ts'
import { name } from '../../cli/flags.ts'
import { confirm, inputTerminal } from '../../cli/terminal.ts'
import { type Cell, view } from '../../cli/view.ts'

type Purged = { queue: string; messages: number }
const purgedView = view<Purged, Record<string, (p: Purged) => Cell | undefined>>({
  queue: (p) => p.queue,
  messages: (p) => p.messages,
})

export default class BusPurge extends NovaCommand {
  static override summary = 'Throw away the messages that wait in a queue.'
  static override description =
    'Operations are not lost by it: each is a row in the database, and its message is sent again within seconds. Calls that waited in the queue end in timeouts. Messages that are out with a consumer stay.'
  static override examples = [
    '<%= config.bin %> bus purge compute.host1',
    '<%= config.bin %> bus purge notifications.info --yes',
  ]
  static override args = { queue: name('Name of the queue.') }
  static override flags = { yes: Flags.boolean({ char: 'y', env: 'NOVA_YES', summary: 'Do not ask.' }) }
  static override readonly view = purgedView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(BusPurge)
    const { queue } = args
    if (!flags.yes) {
      if (!inputTerminal()) misuse('bus purge throws messages away.', 'Say that you mean it: --yes')
      if (!(await confirm(`Throw away what waits in ${queue}?`))) return this.note('Nothing was done.')
    }
    const { messages } = await this.ask('busPurge', { queue })
    if (!this.forPeople) return this.showOne(purgedView, { queue, messages })
    this.write(`${queue}: ${messages} message${messages === 1 ? '' : 's'} thrown away\n`)
  }
}
