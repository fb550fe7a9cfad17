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
  static override summary = 'Drop the messages that wait in a queue.'
  static override description =
    'No operation is lost: each is a row in the database, and its message is sent again within seconds. Calls whose messages are dropped time out. Messages that a consumer has not acknowledged yet stay.'
  static override examples = [
    '<%= config.bin %> bus purge compute.host1',
    '<%= config.bin %> bus purge notifications.info --yes',
  ]
  static override args = { queue: name('Name of the queue.') }
  static override flags = {
    yes: Flags.boolean({ char: 'y', env: 'NOVA_YES', summary: 'Do not ask for confirmation.' }),
  }
  static override readonly view = purgedView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(BusPurge)
    const { queue } = args
    if (!flags.yes) {
      if (!inputTerminal()) misuse('bus purge drops messages.', 'Confirm with --yes.')
      if (!(await confirm(`Drop the messages in ${queue}?`))) return this.note('Nothing was changed.')
    }
    const { ownBusPurge } = await import('../../daemons/own-broker.ts')
    const here = await ownBusPurge(await this.settings(), await this.context(), { queue })
    const { messages } = here ?? (await this.ask('busPurge', { queue }))
    if (!this.forPeople) return this.showOne(purgedView, { queue, messages })
    this.write(`${queue}: ${messages} message${messages === 1 ? '' : 's'} dropped\n`)
  }
}
