import { harmless, visible } from '../cli/cell-text.ts'
import { NovaCommand } from '../cli/command.ts'
import { instance, whole } from '../cli/flags.ts'
import { pickDefined } from '../cli/pick-defined.ts'
import { view } from '../cli/view.ts'

const consoleView = view<{ text: string }, { text: (log: { text: string }) => string }>({ text: (log) => log.text })

export default class ConsoleLog extends NovaCommand {
  static override summary = 'Print the serial console of an instance.'
  static override description =
    'The text is as the guest wrote it, at most the last MiB. On a terminal, control sequences (colours too) are left out.'
  static override examples = ['<%= config.bin %> console-log web', '<%= config.bin %> console-log web --lines 20']
  static override args = { instance }
  static override flags = {
    lines: whole({ min: 1 })({
      aliases: ['length'],
      env: 'NOVA_LINES',
      helpValue: 'N',
      summary: 'Print only the last N lines.',
    }),
  }
  static override readonly view = consoleView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ConsoleLog)
    const log = await this.ask('consoleLog', { instance: args.instance, ...pickDefined(flags, ['lines']) })
    if (this.look.format === 'table' || this.look.format === 'value') {
      this.write(ended(this.look.isTerminal ? harmless(log.text) : log.text))
      if (log.text === '') await this.noteNothing(args.instance)
      return
    }
    await this.showOne(consoleView, log)
  }

  /** A guest that has just started has not written anything yet, which looks like a fault. */
  private async noteNothing(ref: string): Promise<void> {
    const { name, status, launchedAt } = await this.ask('instanceShow', { instance: ref })
    const since = status === 'ACTIVE' && launchedAt !== undefined ? this.clock.now() - launchedAt : undefined
    const state =
      since === undefined ? `is ${status}` : `was first started ${(Math.max(0, since) / 1000).toFixed(1)} s ago`
    this.note(`(nothing yet: ${visible(name)} ${state})`)
  }
}

const ended = (text: string): string => (text === '' || text.endsWith('\n') ? text : `${text}\n`)
