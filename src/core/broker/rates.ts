import type { Clock } from '../base/clock.ts'
import type { Queue } from './queue.ts'

/** Messages per second: into a queue, delivered, and acknowledged. */
export type Rates = { publishRate: number; deliverRate: number; ackRate: number }

type Sample = { readonly at: number; readonly published: number; readonly delivered: number; readonly acked: number }

const everyMs = 5_000
const none: Sample = { at: 0, published: 0, delivered: 0, acked: 0 }

/**
 * The rates of queues over their last five to ten seconds: from two samples of counters that the queues keep anyway.
 */
export class Meter {
  readonly #clock: Clock
  readonly #queues: () => Iterable<Queue>
  /** The last sample of each queue and the one before it. */
  #samples = new Map<Queue, { last: Sample; before: Sample }>()
  #sampledAt: number
  #stop: () => void

  constructor(clock: Clock, queues: () => Iterable<Queue>) {
    this.#clock = clock
    this.#queues = queues
    this.#sampledAt = clock.now()
    this.#stop = clock.after(everyMs, () => this.#sample())
  }

  stop(): void {
    this.#stop()
  }

  ratesOf(queue: Queue): Rates {
    const now = this.#clock.now()
    // A queue that was created after the last sample had zeros then.
    const since = this.#samples.get(queue)?.before ?? { ...none, at: this.#sampledAt }
    const seconds = Math.max((now - since.at) / 1000, 1)
    const rate = (total: number, then: number) => Math.round(((total - then) / seconds) * 10) / 10
    return {
      publishRate: rate(queue.published, since.published),
      deliverRate: rate(queue.delivered, since.delivered),
      ackRate: rate(queue.acked, since.acked),
    }
  }

  #sample(): void {
    const at = this.#clock.now()
    const next = new Map<Queue, { last: Sample; before: Sample }>()
    for (const queue of this.#queues()) {
      const { published, delivered, acked } = queue
      const before = this.#samples.get(queue)?.last ?? { ...none, at: this.#sampledAt }
      next.set(queue, { last: { at, published, delivered, acked }, before })
    }
    this.#samples = next
    this.#sampledAt = at
    this.#stop = this.#clock.after(everyMs, () => this.#sample())
  }
}
