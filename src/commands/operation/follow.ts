import { NovaCommand } from '../../cli/command.ts'
import { operation } from '../../cli/flags.ts'
import { operationRows } from '../../cli/views.ts'

export default class OperationFollow extends NovaCommand {
  static override summary = 'Wait for an operation to end; fail if it fails.'
  static override description = 'Ctrl-C and --timeout stop the waiting, never the operation.'
  static override examples = [
    '<%= config.bin %> operation follow 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11',
    '<%= config.bin %> operation follow 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11 --timeout 60',
  ]
  static override args = { operation }
  static override readonly view = operationRows

  async run(): Promise<void> {
    const { args } = await this.parse(OperationFollow)
    const { failureOf } = await import('../../cli/wait.ts')
    const [ended] = await this.follow([await this.operationId(args.operation)])
    const failure = failureOf(ended!)
    if (!this.forPeople) await this.showOne(operationRows, ended!)
    else if (!failure) this.write(`${ended!.kind} of ${ended!.subject.name}: ${ended!.state}\n`)
    if (failure) throw failure
  }
}
