import { NovaCommand } from '../../cli/command.ts'
import { operation, wait } from '../../cli/flags.ts'
import { begunView } from '../../cli/views.ts'

export default class OperationRetry extends NovaCommand {
  static override summary = 'Repeat a failed or cancelled operation as a new one.'
  static override examples = ['<%= config.bin %> operation retry 7c1f6a52-0b57-4f8e-9d36-5f0c3d2b8f11 --wait']
  static override args = { operation }
  static override flags = { wait }
  static override readonly view = begunView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(OperationRetry)
    const begun = await this.ask('operationRetry', { operation: await this.operationId(args.operation) })
    if (!flags.wait) {
      if (!this.forPeople) return this.showOne(begunView, { ...begun, kind: 'retry', state: 'queued' })
      return this.write(`${begun.instance.name}: started again (nova operation follow ${begun.operation})\n`)
    }
    const { failureOf } = await import('../../cli/wait.ts')
    const [ended] = await this.follow([begun.operation])
    const failure = failureOf(ended!)
    const { kind, state, fault } = ended!
    if (!this.forPeople) await this.showOne(begunView, { ...begun, kind, state, fault })
    else if (!failure) this.write(`${kind} of ${begun.instance.name}: ${state}\n`)
    if (failure) throw failure
  }
}
