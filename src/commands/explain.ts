import { NovaCommand } from '../cli/command.ts'
import { CommandError } from '../cli/command-error.ts'
import { renderDecision } from '../cli/decision.ts'
import { instance } from '../cli/flags.ts'
import { instanceRows, operationRows, verdictView } from '../cli/views.ts'

export default class Explain extends NovaCommand {
  static override summary = 'Show why an instance is on its host, or why no host took it.'
  static override description =
    'Prints the decision record of the scheduler: for each host the first filter that refused it and why, in numbers, or its weights, and which host was chosen. To see what a boot would do now: nova boot --dry-run.'
  static override examples = ['<%= config.bin %> explain web', '<%= config.bin %> explain web -f json']
  static override args = { instance }
  static override readonly view = verdictView

  async run(): Promise<void> {
    const { args } = await this.parse(Explain)
    const { instance, decision, operation } = await this.ask('explain', { instance: args.instance })
    if (!decision)
      throw new CommandError(
        `${instance.name} has not been placed yet: there is nothing to explain.`,
        operation ? `Follow it: nova operation follow ${operation.id}` : `See it: nova show ${instance.name}`,
        1,
      )
    if (this.forPeople)
      this.write(`${instance.name} is ${instance.status}${instance.host ? ` on ${instance.host}` : ''}. `)
    const extra = {
      instance: instanceRows.row(instance),
      operation: operation ? operationRows.row(operation) : null,
    }
    this.write(await renderDecision(decision, this.look, extra))
  }
}
