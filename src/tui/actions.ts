import { mapConcurrent } from '../core/base/concurrency.ts'
import { systemIds } from '../core/base/ids.ts'
import type { InstanceSummary, OperationSummary, Published } from '../core/contracts/shapes.ts'
import { isOpen, kindOf } from '../core/model/operation.ts'
import type { Described, Feed, Verb } from './feed.ts'
import type { Tone } from './paint.ts'

/** What the status line says: one line, and what to do about it. */
export type Line = { readonly text: string; readonly hint?: string | undefined; readonly tone: Tone }

type Say = (line: Line) => void
type Begun = { id: string; name: string }

/** How many are asked for at the same time. */
const atOnce = 8

/** The verbs of the dashboard; each is the same question as its command's, and each is answered by `say`. */
export class Actions {
  readonly #feed: Feed
  readonly #say: Say
  /** What was begun here and is not over, and how much of the same stroke is. */
  readonly #watched = new Map<
    string,
    { verb: Verb; name: string; stroke: { all: number; over: number; failed: number } }
  >()

  constructor(feed: Feed, say: Say) {
    this.#feed = feed
    this.#say = say
    feed.onEvent((event) => this.#hear(event))
  }

  /** Begins a verb on each instance; `verbFor` may take another one for each. */
  async begin(rows: readonly InstanceSummary[], verbFor: (row: InstanceSummary) => Verb): Promise<void> {
    const [first] = rows
    if (!first) return
    const stroke = { all: 0, over: 0, failed: 0 }
    const only = kindOf(verbFor(first)).task
    this.#say({
      text: rows.length === 1 ? `${first.name}: ${only} …` : `${rows.length} instances: ${only} …`,
      tone: 'busy',
    })
    const refused = await this.#each(rows, async (row) => {
      const verb = verbFor(row)
      const { operation, instance } = await this.#feed.ask('begin', {
        instance: row.id,
        kind: verb,
        idempotencyKey: systemIds.uuid(),
      })
      stroke.all++
      this.#watched.set(operation, { verb, name: instance.name, stroke })
      // Its end may have been told before its begin was answered.
      const known = this.#feed.world.operations.get(operation)
      if (known && !isOpen(known.state)) this.#end(operation, known)
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  /** Ends operations: those that wait at once, those that run at their next step. */
  async cancel(rows: readonly OperationSummary[]): Promise<void> {
    const named = ({ id, kind, instanceName }: OperationSummary): Begun => ({ id, name: `${kind} of ${instanceName}` })
    const refused = await this.#each(rows.map(named), async ({ id, name }) => {
      const { state } = await this.#feed.ask('operationCancel', { operation: id })
      this.#say({ text: isOpen(state) ? `${name}: ends before its next step` : `${name}: ${state}`, tone: 'busy' })
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  /** Does again what failed or was cancelled. */
  async retry(rows: readonly OperationSummary[]): Promise<void> {
    const stroke = { all: 0, over: 0, failed: 0 }
    const refused = await this.#each(rows, async ({ id, kind, instanceName }) => {
      const { operation } = await this.#feed.ask('operationRetry', { operation: id })
      stroke.all++
      this.#watched.set(operation, { verb: kind as Verb, name: instanceName, stroke })
      this.#say({ text: `${kind} of ${instanceName}: begun again`, tone: 'busy' })
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  async #each<T>(rows: readonly T[], work: (row: T) => Promise<void>): Promise<Described[]> {
    const refused: Described[] = []
    await mapConcurrent(rows, atOnce, (row) => work(row).catch((e) => void refused.push(this.#feed.describe(e))))
    return refused
  }

  #refuse([first]: readonly Described[], of: number): void {
    if (first) this.#say({ ...first, text: of > 1 ? `Not all of ${of}: ${first.text}` : first.text, tone: 'bad' })
  }

  #hear({ operationId, operation }: Published): void {
    if (operationId && operation && !isOpen(operation.state)) this.#end(operationId, operation)
  }

  #end(id: string, { kind, state, step, fault }: Pick<OperationSummary, 'kind' | 'state' | 'step' | 'fault'>): void {
    const watched = this.#watched.get(id)
    if (!watched) return
    this.#watched.delete(id)
    const { name, stroke } = watched
    stroke.over++
    if (state !== 'succeeded') {
      stroke.failed++
      const text =
        state === 'cancelled'
          ? `The ${kind} of ${name} was cancelled.`
          : `The ${kind} of ${name} failed${step ? ` at step "${step}"` : ''}: ${fault?.message ?? 'no reason was recorded'}`
      this.#say({ text, hint: fault?.hint, tone: 'bad' })
      return
    }
    // A failure stays where it can be read.
    if (stroke.failed > 0) return
    const to = kindOf(kind).to ?? 'deleted'
    if (stroke.all === 1) this.#say({ text: `${name}: ${to}`, tone: 'good' })
    else
      this.#say({ text: `${stroke.over} of ${stroke.all}: ${to}`, tone: stroke.over === stroke.all ? 'good' : 'busy' })
  }
}
