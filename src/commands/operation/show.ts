import { NovaCommand } from '../../cli/command.ts'
import { operation } from '../../cli/flags.ts'
import { operationView } from '../../cli/views.ts'

export default class OperationShow extends NovaCommand {
  static override summary = 'Show one operation with its steps and its outcome.'
  static override examples = [
    '<%= config.bin %> operation show 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11',
    '<%= config.bin %> operation show 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11 -f json',
  ]
  static override args = { operation }
  static override readonly view = operationView

  async run(): Promise<void> {
    const { args } = await this.parse(OperationShow)
    await this.showOne(
      operationView,
      await this.ask('operationShow', { operation: await this.operationId(args.operation) }),
    )
  }
}
