import type { Channel } from 'amqplib'
import { Failure } from '../base/errors.ts'
import type { Holder } from './holder.ts'

/** The maximum number of messages, and of their bytes, that wait on one channel for the broker. */
const mostWaiting = 10_000
const mostBytes = 64 << 20

/**
 * Publishes one message on the given channel; false if the channel has no room. `waitedMs` is how long the message has
 * waited. Must not throw.
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
 * The queue before a channel: messages leave in the order in which they came, at once while the broker accepts them.
 * While it does not (the connection is down, an alarm blocks the broker, or it does not read), they wait, each up to
 * its own timeout, and only up to a limit.
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

  /** Whether a message would leave at once. */
  get clear(): boolean {
    return (
      this.#channel !== undefined && !this.#stalled && this.#holder.blocked === undefined && this.#waiting.size === 0
    )
  }

  /**
   * Publishes now (undefined) or when its turn comes (a promise). `BusDown` if the connection stays down for its grace
   * period, `BusBlocked` if the broker accepts nothing for `patienceMs` or too many messages wait already.
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

  /** The channel's buffer has been written. For its keeper only. */
  drained(): void {
    this.#stalled = false
    this.go()
  }

  /** The channel is lost: nobody waits longer for the next one than the link's grace period. For its keeper only. */
  lost(): void {
    this.#channel = undefined
    this.hurry(this.#holder.graceMs)
  }

  /** Sends waiting messages as long as the broker accepts them. */
  go(): void {
    for (const sender of this.#waiting) {
      const channel = this.#channel
      if (channel === undefined || this.#stalled || this.#holder.blocked !== undefined) return
      this.#drop(sender)
      this.#stalled = !sender.go(channel)
    }
  }

  /** From now on no message waits longer than this. */
  hurry(ms: number): void {
    for (const sender of this.#waiting) this.#limit(sender, ms)
  }

  /** Rejects all waiting messages and all later ones. */
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
