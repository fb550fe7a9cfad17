import { mapConcurrent } from '../core/base/concurrency.ts'
import { systemIds } from '../core/base/ids.ts'
import type { InstanceSummary, OperationSummary, Published } from '../core/contracts/shapes.ts'
import { doneWord, isOpen, kindOf } from '../core/model/operation.ts'
import type { Described, Feed, Verb } from './feed.ts'
import type { Tone } from './paint.ts'

/** The status line: one line of text, and what to do about it. */
export type Line = { readonly text: string; readonly hint?: string | undefined; readonly tone: Tone }

type Show = (line: Line) => void
type Begun = { id: string; name: string }

/** How many instances are worked on concurrently. */
const atOnce = 8

/** The verbs of the dashboard. Each sends the same request as its command and reports its outcome through `show`. */
export class Actions {
  readonly #feed: Feed
  readonly #show: Show
  /** Operations that were started here and have not ended, with the count of those that one key press started. */
  readonly #watched = new Map<
    string,
    { verb: Verb; name: string; stroke: { all: number; over: number; failed: number } }
  >()

  constructor(feed: Feed, show: Show) {
    this.#feed = feed
    this.#show = show
    feed.onEvent((event) => this.#onEvent(event))
  }

  /** Starts a verb on each instance; `verbFor` may choose another verb for each. */
  async begin(rows: readonly InstanceSummary[], verbFor: (row: InstanceSummary) => Verb): Promise<void> {
    const [first] = rows
    if (!first) return
    const stroke = { all: 0, over: 0, failed: 0 }
    const only = kindOf(verbFor(first)).task
    this.#show({
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
      // The end may be reported before the answer to the request arrives.
      const known = this.#feed.world.operations.get(operation)
      if (known && !isOpen(known.state)) this.#end(operation, known)
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  /** Cancels operations: queued ones at once, running ones before their next step. */
  async cancel(rows: readonly OperationSummary[]): Promise<void> {
    const named = ({ id, kind, subject }: OperationSummary): Begun => ({ id, name: `${kind} of ${subject.name}` })
    const refused = await this.#each(rows.map(named), async ({ id, name }) => {
      const { state } = await this.#feed.ask('operationCancel', { operation: id })
      this.#show({
        text: isOpen(state) ? `${name}: will be cancelled before its next step` : `${name}: ${state}`,
        tone: 'busy',
      })
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  /** Repeats a failed or cancelled operation. */
  async retry(rows: readonly OperationSummary[]): Promise<void> {
    const stroke = { all: 0, over: 0, failed: 0 }
    const refused = await this.#each(rows, async ({ id, kind, subject }) => {
      const { operation } = await this.#feed.ask('operationRetry', { operation: id })
      stroke.all++
      this.#watched.set(operation, { verb: kind as Verb, name: subject.name, stroke })
      this.#show({ text: `${kind} of ${subject.name}: started again`, tone: 'busy' })
    })
    if (refused.length > 0) this.#refuse(refused, rows.length)
  }

  async #each<T>(rows: readonly T[], work: (row: T) => Promise<void>): Promise<Described[]> {
    const refused: Described[] = []
    await mapConcurrent(rows, atOnce, (row) => work(row).catch((e) => void refused.push(this.#feed.describe(e))))
    return refused
  }

  #refuse([first]: readonly Described[], of: number): void {
    if (first) this.#show({ ...first, text: of > 1 ? `Not all of ${of}: ${first.text}` : first.text, tone: 'bad' })
  }

  #onEvent({ operationId, operation }: Published): void {
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
      this.#show({ text, hint: fault?.hint, tone: 'bad' })
      return
    }
    // A failure stays on the status line until the next key press.
    if (stroke.failed > 0) return
    const to = doneWord(kind)
    if (stroke.all === 1) this.#show({ text: `${name}: ${to}`, tone: 'good' })
    else
      this.#show({ text: `${stroke.over} of ${stroke.all}: ${to}`, tone: stroke.over === stroke.all ? 'good' : 'busy' })
  }
}
