import type { Channel } from 'amqplib'
import { Failure } from '../base/errors.ts'
import type { Holder } from './holder.ts'

/** The most messages that wait on one channel for the broker to take them, and the most bytes of them. */
const mostWaiting = 10_000
const mostBytes = 64 << 20

/**
 * Publishes one message on the channel that it is given; false where the channel has no room for another. `waitedMs` is how
 * long it had to wait for its turn. Must not throw.
 */
type Publish = (channel: Channel, waitedMs: number) => boolean

type Sender = {
  readonly bytes: number
  readonly since: number
  readonly go: (channel: Channel) => boolean
  readonly fail: (e: Failure) => void
  deadline: number
  cancel: () => void
}

/**
 * The turnstile before a channel: messages go through in the order in which they came, at once while the broker takes them.
 * While it does not (the link is down, the broker is blocked by an alarm, or it does not read what it is sent) they wait,
 * each for its own patience, and so many of them and no more.
 */
export class Senders {
  readonly #holder: Holder
  readonly #waiting = new Set<Sender>()
  #bytes = 0
  #channel: Channel | undefined
  #stalled = false
  #left = false

  constructor(holder: Holder) {
    this.#holder = holder
  }

  /** Whether a message would go out at once. */
  get clear(): boolean {
    return (
      this.#channel !== undefined && !this.#stalled && this.#holder.blocked === undefined && this.#waiting.size === 0
    )
  }

  /**
   * Publishes now (undefined) or when its turn comes (a promise). `BusDown` where the link stays down for its grace,
   * `BusBlocked` where the broker takes nothing for `patienceMs`, or too many wait already.
   */
  send(bytes: number, patienceMs: number, publish: Publish): Promise<void> | undefined {
    if (this.clear) {
      this.#stalled = !publish(this.#channel!, 0)
      return undefined
    }
    if (this.#left) return Promise.reject(this.#holder.down())
    if (this.#waiting.size >= mostWaiting || this.#bytes + bytes > mostBytes)
      return Promise.reject(this.#why(0, `, and ${this.#waiting.size} messages wait for it already`))
    return new Promise((resolve, reject) => {
      const { clock } = this.#holder
      const since = clock.now()
      const sender: Sender = {
        bytes,
        since,
        go: (channel) => {
          resolve()
          return publish(channel, clock.now() - since)
        },
        fail: reject,
        deadline: Number.POSITIVE_INFINITY,
        cancel: () => undefined,
      }
      this.#waiting.add(sender)
      this.#bytes += bytes
      this.#limit(sender, this.#holder.patience(patienceMs))
      if (this.#channel === undefined) this.#limit(sender, this.#holder.graceMs)
    })
  }

  /** There is a channel (again). For its keeper only. */
  opened(channel: Channel): void {
    this.#channel = channel
    this.#stalled = false
    this.go()
  }

  /** What the channel held has been written. For its keeper only. */
  drained(): void {
    this.#stalled = false
    this.go()
  }

  /** The channel is gone: nobody waits longer for the next one than the link's grace. For its keeper only. */
  lost(): void {
    this.#channel = undefined
    this.hurry(this.#holder.graceMs)
  }

  /** Lets through those that wait, as long as the broker takes them. */
  go(): void {
    for (const sender of this.#waiting) {
      const channel = this.#channel
      if (channel === undefined || this.#stalled || this.#holder.blocked !== undefined) return
      this.#drop(sender)
      this.#stalled = !sender.go(channel)
    }
  }

  /** From now on nobody who waits does so for longer than this. */
  hurry(ms: number): void {
    for (const sender of this.#waiting) this.#limit(sender, ms)
  }

  /** Turns away all that wait and all that come. */
  leave(): void {
    this.#left = true
    this.#channel = undefined
    for (const sender of this.#waiting) this.#turnAway(sender, this.#holder.down())
  }

  #limit(sender: Sender, ms: number): void {
    const { clock } = this.#holder
    const deadline = clock.now() + ms
    if (deadline >= sender.deadline) return
    sender.cancel()
    sender.deadline = deadline
    sender.cancel = clock.after(ms, () => this.#turnAway(sender, this.#why(clock.now() - sender.since)))
  }

  #turnAway(sender: Sender, e: Failure): void {
    this.#drop(sender)
    sender.fail(e)
  }

  #drop(sender: Sender): void {
    sender.cancel()
    this.#waiting.delete(sender)
    this.#bytes -= sender.bytes
  }

  #why(waitedMs: number, more = ''): Failure {
    const down = this.#holder.down()
    if (this.#channel === undefined) return down
    const why = `${this.#holder.blocked ?? 'it does not read what it is sent'}${more}`
    return new Failure('BusBlocked', { url: down.params.url, why, seconds: Math.round(waitedMs / 1000) })
  }
}
