import type { Clock } from '../base/clock.ts'
import type { Table } from './field-table.ts'
import type { Memory } from './memory.ts'
import { footprint, type Message } from './message.ts'
import type { QueueArguments } from './queue-arguments.ts'
import { type Entry, ReadyList } from './ready-list.ts'
import type { Share } from './share.ts'

/** Why a message left a queue without being consumed; `x-death` has the same words. */
export type DeathReason = 'rejected' | 'expired' | 'maxlen'

/** A consumer of a queue. */
export type Subscriber = {
  readonly noAck: boolean
  readonly exclusive: boolean
  /** Higher ones are served first, as long as they have room. */
  readonly priority: number
  /** Set by the queue while it does not offer anything; see {@link Queue.wake}. */
  parked: boolean
  hasRoom(): boolean
  take(entry: Entry): void
  /** The queue was deleted. */
  cancel(): void
}

export type QueueDeps = {
  clock: Clock
  memory: Memory
  /** A message leaves unconsumed; the queue does not hold it any more. */
  onDead: (queue: Queue, message: Message, reason: DeathReason) => void
  /** Nobody uses the queue any more, and it was declared to be deleted then. */
  onUnused: (queue: Queue) => void
}

export type QueueDeclaration = {
  name: string
  durable: boolean
  autoDelete: boolean
  /** The connection that owns it exclusively; undefined for a shared queue. */
  owner: object | undefined
  table: Table
  args: QueueArguments
  /** The share of the user who declared it, if that one has limits. */
  share?: Share | undefined
  /** The policy that applies to it; its limits are among its `args`. */
  policy?: string
}

/** One queue: ready messages, unacknowledged messages, and consumers that take turns. */
export class Queue {
  readonly kind = 'queue'
  readonly declared: QueueDeclaration
  readonly #deps: QueueDeps
  readonly #ready: ReadyList
  readonly #subscribers = new Set<Subscriber>()
  /** Consumers that may have room, in the order of their turns. */
  #active: Subscriber[] = []
  #lastPosition = 0
  #unacked = 0
  /** How many messages have come in, been delivered, and been settled: the source of rates. */
  published = 0
  delivered = 0
  acked = 0
  #deleted = false
  #lastUsedMs = 0
  #stopUnusedTimer: (() => void) | undefined
  #stopExpiryTimer: (() => void) | undefined
  #expiryTimerAt = 0

  constructor(declared: QueueDeclaration, deps: QueueDeps) {
    this.declared = declared
    this.#deps = deps
    this.#ready = new ReadyList(declared.args.maxPriority)
    this.touch()
    if (declared.args.expiresMs !== undefined) this.#watchUse(declared.args.expiresMs)
  }

  get name(): string {
    return this.declared.name
  }

  get depth(): number {
    return this.#ready.length
  }

  /** Bytes of the ready bodies. */
  get bytes(): number {
    return this.#ready.bytes
  }

  get unacked(): number {
    return this.#unacked
  }

  get consumers(): number {
    return this.#subscribers.size
  }

  get deleted(): boolean {
    return this.#deleted
  }

  /** Whether one of its consumers is exclusive. */
  get exclusivelyConsumed(): boolean {
    for (const each of this.#subscribers) if (each.exclusive) return true
    return false
  }

  /** Counts as use for `x-expires`: a declaration or a get. */
  touch(): void {
    if (this.declared.args.expiresMs !== undefined) this.#lastUsedMs = this.#deps.clock.now()
  }

  #watchUse(expiresMs: number): void {
    const left = this.#lastUsedMs + expiresMs - this.#deps.clock.now()
    this.#stopUnusedTimer = this.#deps.clock.after(Math.max(left, 1), () => {
      if (this.#subscribers.size > 0) this.touch()
      if (this.#deps.clock.now() - this.#lastUsedMs >= expiresMs) this.#deps.onUnused(this)
      else this.#watchUse(expiresMs)
    })
  }

  // Incoming messages

  /** Accepts a message; false if the queue is full and was declared to refuse new ones. */
  enqueue(message: Message): boolean {
    this.published++
    if (!this.#affordable(message)) return false
    const { args } = this.declared
    if (args.overflow !== 'drop-head' && this.#over(1, message.body.length)) {
      if (args.overflow === 'reject-publish-dlx') this.#deps.onDead(this, message, 'maxlen')
      return false
    }
    this.#hold(message)
    const entry: Entry = {
      message,
      position: ++this.#lastPosition,
      expiresAt: this.#expiryOf(message),
      redelivered: false,
      next: undefined,
    }
    const subscriber = this.#ready.length === 0 ? this.#nextSubscriber() : undefined
    if (subscriber) {
      this.#hand(subscriber, entry)
      return true
    }
    this.#ready.push(entry)
    while (this.#over(0, 0)) this.#bury(this.#ready.shift()!, 'maxlen')
    if (entry.expiresAt !== 0) this.#dropExpired()
    return true
  }

  #over(messages: number, bytes: number): boolean {
    const { maxLength, maxLengthBytes } = this.declared.args
    return (
      (maxLength !== undefined && this.#ready.length + messages > maxLength) ||
      (maxLengthBytes !== undefined && this.#ready.bytes + bytes > maxLengthBytes)
    )
  }

  #expiryOf(message: Message): number {
    const own = message.ttlMs
    const common = this.declared.args.messageTtlMs
    if (own === undefined && common === undefined) return 0
    return this.#deps.clock.now() + Math.min(own ?? Number.POSITIVE_INFINITY, common ?? Number.POSITIVE_INFINITY)
  }

  /** Whether the users concerned have room for a message: its sender, and the owner of this queue. */
  #affordable(message: Message): boolean {
    const { share } = this.declared
    if (message.share?.maySpread(footprint(message)) === false) return false
    return share === undefined || share === message.share || share.hasRoom(footprint(message))
  }

  #hold(message: Message): void {
    if (message.holders++ === 0) this.#deps.memory.grow(footprint(message))
    this.#charge(message, footprint(message))
  }

  #release(message: Message): void {
    if (--message.holders === 0) this.#deps.memory.shrink(footprint(message))
    this.#charge(message, -footprint(message))
  }

  #charge(message: Message, bytes: number): void {
    const { share } = this.declared
    message.share?.sent(bytes)
    if (share !== message.share) share?.received(bytes)
  }

  #bury(entry: Entry, reason: DeathReason): void {
    // Published again before it is released, so that memory counts it once.
    this.#deps.onDead(this, entry.message, reason)
    this.#release(entry.message)
  }

  // Outgoing messages

  /** The next consumer that may receive and has room; others are parked on the way. */
  #nextSubscriber(): Subscriber | undefined {
    while (this.#active.length > 0) {
      const next = this.#active.shift()!
      if (next.hasRoom()) return next
      next.parked = true
    }
    return undefined
  }

  #hand(subscriber: Subscriber, entry: Entry): void {
    this.#queueUp(subscriber)
    this.delivered++
    if (subscriber.noAck) {
      subscriber.take(entry)
      this.#release(entry.message)
    } else {
      this.#unacked++
      subscriber.take(entry)
    }
  }

  #queueUp(subscriber: Subscriber): void {
    let at = this.#active.length
    while (at > 0 && this.#active[at - 1]!.priority < subscriber.priority) at--
    if (at === this.#active.length) this.#active.push(subscriber)
    else this.#active.splice(at, 0, subscriber)
  }

  #deliver(): void {
    while (this.#ready.length > 0 && this.#active.length > 0) {
      if (this.#dropExpired()) continue
      const subscriber = this.#nextSubscriber()
      if (!subscriber) return
      this.#hand(subscriber, this.#ready.shift()!)
    }
  }

  /** A parked consumer may have room again. */
  wake(subscriber: Subscriber): void {
    if (!subscriber.parked || !this.#subscribers.has(subscriber) || !subscriber.hasRoom()) return
    subscriber.parked = false
    this.#queueUp(subscriber)
    this.#deliver()
  }

  /** Takes the next message for basic.get; with `noAck` it is settled at once. */
  get(noAck: boolean): Entry | undefined {
    this.touch()
    this.#dropExpired()
    const entry = this.#ready.shift()
    if (!entry) return undefined
    this.delivered++
    if (noAck) this.#release(entry.message)
    else this.#unacked++
    return entry
  }

  // Unacknowledged messages

  settle(entry: Entry): void {
    this.acked++
    this.#unacked--
    this.#release(entry.message)
  }

  /** Rejected without requeue. */
  reject(entry: Entry): void {
    this.#unacked--
    if (this.#deleted) this.#release(entry.message)
    else this.#bury(entry, 'rejected')
  }

  /** Requeues messages at their positions, marked as redelivered. */
  requeue(entries: readonly Entry[]): void {
    this.#unacked -= entries.length
    if (this.#deleted) {
      for (const entry of entries) this.#release(entry.message)
      return
    }
    for (const entry of entries) entry.redelivered = true
    this.#ready.giveBack(entries)
    this.#deliver()
    this.#dropExpired()
  }

  // Expiry

  /** Drops expired messages at the head and schedules the next check; true if something was dropped. */
  #dropExpired(): boolean {
    let dropped = false
    for (let head = this.#ready.peek(); head && head.expiresAt !== 0; head = this.#ready.peek()) {
      if (head.expiresAt > this.#deps.clock.now()) {
        this.#awaitExpiry(head.expiresAt)
        break
      }
      this.#ready.shift()
      dropped = true
      this.#bury(head, 'expired')
    }
    return dropped
  }

  #awaitExpiry(at: number): void {
    if (this.#stopExpiryTimer && this.#expiryTimerAt <= at) return
    this.#stopExpiryTimer?.()
    this.#expiryTimerAt = at
    this.#stopExpiryTimer = this.#deps.clock.after(Math.max(at - this.#deps.clock.now(), 1), () => {
      this.#stopExpiryTimer = undefined
      this.#dropExpired()
    })
  }

  // Consumers

  subscribe(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber)
    subscriber.parked = false
    this.#queueUp(subscriber)
    this.#deliver()
  }

  /** Removes a consumer; the last one takes an auto-delete queue with it. */
  unsubscribe(subscriber: Subscriber): void {
    if (!this.#subscribers.delete(subscriber)) return
    this.#active = this.#active.filter((each) => each !== subscriber)
    this.touch()
    if (this.#subscribers.size === 0 && this.declared.autoDelete) this.#deps.onUnused(this)
  }

  /** Drops ready messages; returns their number. */
  purge(): number {
    let purged = 0
    for (let entry = this.#ready.shift(); entry; entry = this.#ready.shift()) {
      this.#release(entry.message)
      purged++
    }
    return purged
  }

  /** Deletes the queue: drops ready messages, tells its consumers, and returns how many messages were ready. */
  delete(): number {
    this.#deleted = true
    this.#stopUnusedTimer?.()
    this.#stopExpiryTimer?.()
    const purged = this.purge()
    const subscribers = [...this.#subscribers]
    this.#subscribers.clear()
    this.#active = []
    for (const each of subscribers) each.cancel()
    return purged
  }
}
