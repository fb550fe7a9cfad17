import { NovaCommand } from '../../cli/command.ts'
import { operation } from '../../cli/flags.ts'
import { operationRows } from '../../cli/views.ts'

export default class OperationCancel extends NovaCommand {
  static override summary = 'Cancel an operation: at once if it has not been claimed, otherwise before its next step.'
  static override examples = ['<%= config.bin %> operation cancel 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11']
  static override args = { operation }
  static override readonly view = operationRows

  async run(): Promise<void> {
    const { args } = await this.parse(OperationCancel)
    const cancelled = await this.ask('operationCancel', { operation: await this.operationId(args.operation) })
    if (!this.forPeople) return this.showOne(operationRows, cancelled)
    const over = cancelled.state === 'cancelled'
    const { kind, subject, id } = cancelled
    this.write(
      `${kind} of ${subject.name}: ${over ? 'cancelled' : `is being cancelled (nova operation follow ${id})`}\n`,
    )
  }
}
