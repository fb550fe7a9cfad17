import * as Args from '@oclif/core/args'
import { mapConcurrent } from '../core/base/concurrency.ts'
import { systemIds } from '../core/base/ids.ts'
import type { Begin, Beginnable, KindArgs } from '../core/contracts/kinds.ts'
import { doneWord, kindOf } from '../core/model/operation.ts'
import { NovaCommand } from './command.ts'
import { wait } from './flags.ts'
import { type BegunRow, begunView } from './views.ts'

/** How many instances are worked on concurrently. */
const atOnce = 8

/** A kind of operation with its arguments. */
type Asked = { [K in Beginnable]: { kind: K; args?: KindArgs<K> } }[Beginnable]
type Row = BegunRow & { kind: Beginnable }

/** One or more instances, by name or id. */
const instances = Args.string({
  required: true,
  multiple: true,
  ignoreStdin: true,
  description: 'Names or ids of the instances.',
})

/**
 * A command that starts the same operation on each of its instances: `nova pause web db1`. Refused instances are
 * reported one by one and do not stop the others; the exit code is then 1.
 */
export abstract class InstanceVerb extends NovaCommand {
  static override args = { instance: instances }
  static override flags = { wait }
  static override readonly view = begunView

  protected abstract readonly kind: Beginnable

  async run(): Promise<void> {
    const { args, flags } = await this.parse(this.ctor as typeof InstanceVerb)
    await this.beginAll(args.instance, { kind: this.kind }, flags.wait)
  }

  /** Starts the operation on all instances, waits for the ends if `wait` is set, and shows the outcomes. */
  protected async beginAll(names: readonly string[], asked: Asked, wait: boolean): Promise<void> {
    const [only, ...others] = [...new Set(names)]
    const rows =
      others.length === 0
        ? [await this.begin(only!, asked)]
        : await mapConcurrent([only!, ...others], atOnce, (name) =>
            this.begin(name, asked).catch((e) => this.reportFailure(e)),
          )
    const begun = rows.filter((row) => row !== undefined)
    const seen = wait ? await this.end(begun) : begun
    if (!this.forPeople) return this.showRows(begunView, seen)
    this.write(seen.map((row) => sentence(row)).join(''))
  }

  private async begin(name: string, asked: Asked): Promise<Row> {
    // With an idempotency key: a request that is delivered twice after a conductor dies is carried out once.
    const begun = await this.ask('begin', { ...asked, instance: name, idempotencyKey: systemIds.uuid() } as Begin)
    return { ...begun, kind: asked.kind, state: 'queued' }
  }

  private async end(begun: readonly Row[]): Promise<Row[]> {
    if (begun.length === 0) return []
    const { failureOf } = await import('./wait.ts')
    const ended = await this.follow(begun.map((row) => row.operation))
    return begun.map((row, i) => {
      const operation = ended[i]!
      const failure = failureOf(operation)
      if (failure) this.reportFailure(failure)
      const { state, step, fault } = operation
      return { ...row, state, fault, ...(step === undefined ? {} : { step }) }
    })
  }
}

/** The outcome for a person; failures have already been reported. */
function sentence({ instance, kind, state, operation }: Row): string {
  const { task } = kindOf(kind)
  if (state === 'succeeded') return `${instance.name}: ${doneWord(kind)}\n`
  return state === 'queued' ? `${instance.name}: ${task} (nova operation follow ${operation})\n` : ''
}
