import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Access } from './access.ts'
import { refuse } from './amqp-error.ts'
import { Confirms } from './confirms.ts'
import { type Consumer, type ConsumerChannel, type Delivery, deliverFields } from './consumer.ts'
import type { Exchange } from './exchange.ts'
import type { Table } from './field-table.ts'
import type { Memory } from './memory.ts'
import { bookkeepingBytes, type Message } from './message.ts'
import { type Args, type MethodName, writeMethod } from './methods.ts'
import type { Outbox } from './outbox.ts'
import type { Queue } from './queue.ts'
import type { Entry } from './ready-list.ts'
import type { Share } from './share.ts'
import { replyToName, type Vhost } from './vhost.ts'

/** What a channel needs of its connection. The connection is also the owner of exclusive queues. */
export type Peer = {
  readonly outbox: Outbox
  readonly vhost: Vhost
  readonly user: string
  /** The permissions of its user; undefined if it may do everything. */
  readonly access: Access | undefined
  readonly deps: { readonly clock: Clock; readonly ids: Ids; readonly memory: Memory }
  /** The largest message that is accepted of it, in bytes. */
  readonly messageBytes: number
  /** What its user has of the broker; undefined if that one has no limits. */
  readonly share: Share | undefined
  /** Whether the client wants to be told if a queue that it consumes is deleted. */
  readonly wantsCancel: boolean
  /** A message of this many bytes came in: flow control counts them while the broker is full. */
  published(bytes: number): void
  /** Asks for {@link Channel.flushConfirms} at the end of this turn. */
  confirmLater(channel: Channel): void
}

/** A message whose frames are still arriving. */
export type Incoming = {
  exchange: string
  routingKey: string
  mandatory: boolean
  immediate: boolean
  route: Buffer
  header: Buffer | undefined
  size: number
  received: number
  parts: Buffer[]
}

/** A publish that is ready to be routed. */
export type Outgoing = {
  message: Message
  exchange: Exchange
  headers: Table | undefined
  routingKeys: readonly string[]
  mandatory: boolean
}

/** What a transaction holds back until it is committed. */
type Transaction = {
  publishes: Outgoing[]
  settlements: Array<{ tags: Map<number, Delivery>; finish: (deliveries: Delivery[]) => void }>
}

/** A channel: its unacknowledged deliveries, its consumers, and its modes. */
export class Channel implements ConsumerChannel {
  readonly number: number
  readonly peer: Peer
  readonly consumers = new Map<string, Consumer>()
  readonly #unacked = new Map<number, Delivery>()
  /** Deliveries to consumers with acknowledgements: what the channel-wide prefetch counts. */
  #outstanding = 0
  #lastTag = 0
  #dead = false
  #replies: { name: string; tag: string } | undefined
  /** We have sent channel.close and wait for its answer: everything else is ignored. */
  closing = false
  /** Prefetch of later consumers (`global` false). */
  prefetch = 0
  #channelPrefetch = 0
  /** The queue declared last: what an empty queue name stands for. */
  lastQueue: string | undefined
  incoming: Incoming | undefined
  confirms: Confirms | undefined
  transaction: Transaction | undefined

  constructor(number: number, peer: Peer) {
    this.number = number
    this.peer = peer
  }

  get outbox(): Outbox {
    return this.peer.outbox
  }

  get vhost(): Vhost {
    return this.peer.vhost
  }

  reply<N extends MethodName>(name: N, args: Args<N>): void {
    this.outbox.method(this.number, writeMethod(name, args))
  }

  // Queues and exchanges by name

  /**
   * The queue of that name; the last declared one for an empty name. 404 if there is none, 405 if it is exclusive to
   * another connection.
   */
  queue(name: string): Queue {
    const wanted = this.queueName(name)
    const queue = this.vhost.queues.get(wanted)
    if (!queue) refuse('NOT_FOUND', `no queue '${wanted}' in vhost '${this.vhost.name}'`)
    this.checkOwner(queue)
    return queue
  }

  queueName(name: string): string {
    if (name !== '') return name
    return this.lastQueue ?? refuse('NOT_FOUND', 'no previously declared queue')
  }

  /** 403 if the user may not do that to a queue or an exchange. */
  check(action: 'configure' | 'write' | 'read', kind: 'queue' | 'exchange', name: string): void {
    this.peer.access?.check(action, kind, name, this.vhost.name)
  }

  /** 403 if the user may not publish, or bind, these keys on a topic exchange. */
  checkTopics(action: 'write' | 'read', { name, declared }: Exchange, keys: readonly string[]): void {
    if (declared.type !== 'topic') return
    for (const key of keys) this.peer.access?.checkTopic(action, name, key, this.vhost.name)
  }

  checkOwner(queue: Queue): void {
    const { owner } = queue.declared
    if (owner === undefined || owner === this.peer) return
    refuse(
      'RESOURCE_LOCKED',
      `cannot obtain exclusive access to locked queue '${queue.name}' in vhost '${this.vhost.name}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`,
    )
  }

  exchange(name: string): Exchange {
    return this.vhost.exchanges.get(name) ?? refuse('NOT_FOUND', `no exchange '${name}' in vhost '${this.vhost.name}'`)
  }

  // Deliveries

  hasRoom(): boolean {
    return !this.#dead && !this.closing && (this.#channelPrefetch === 0 || this.#outstanding < this.#channelPrefetch)
  }

  track(delivery: Delivery, noAck: boolean): number {
    const tag = ++this.#lastTag
    if (noAck) return tag
    this.#unacked.set(tag, delivery)
    if (delivery.consumer) {
      delivery.consumer.unacked++
      this.#outstanding++
    }
    return tag
  }

  /** Settles deliveries by tag with `finish`, at once or, in a transaction, on commit. 406 for an unknown tag. */
  settle(tag: number, multiple: boolean, finish: (deliveries: Delivery[]) => void): void {
    if (!multiple && !this.transaction) {
      // Nearly always a single delivery: nothing to collect.
      this.#finish([this.#takeOne(tag)], finish)
      return
    }
    const taken = this.#take(tag, multiple)
    if (this.transaction) this.transaction.settlements.push({ tags: taken, finish })
    else this.#finish([...taken.values()], finish)
  }

  #take(tag: number, multiple: boolean): Map<number, Delivery> {
    const taken = new Map<number, Delivery>()
    if (multiple && tag === 0) {
      for (const [each, delivery] of this.#unacked) taken.set(each, delivery)
      this.#unacked.clear()
      return taken
    }
    if (multiple) {
      if (!this.#unacked.has(tag)) unknownTag(tag)
      for (const [each, delivery] of this.#unacked) {
        if (each > tag) break
        taken.set(each, delivery)
        this.#unacked.delete(each)
      }
    } else taken.set(tag, this.#takeOne(tag))
    return taken
  }

  #takeOne(tag: number): Delivery {
    const one = this.#unacked.get(tag) ?? unknownTag(tag)
    this.#unacked.delete(tag)
    return one
  }

  #finish(deliveries: Delivery[], finish: (deliveries: Delivery[]) => void): void {
    for (const { consumer } of deliveries) {
      if (!consumer) continue
      consumer.unacked--
      this.#outstanding--
    }
    finish(deliveries)
    if (this.#channelPrefetch > 0) this.wake()
    else for (const { consumer } of deliveries) if (consumer?.parked) consumer.queue.wake(consumer)
  }

  /** Takes all unacknowledged deliveries back from the client and requeues them at their positions. */
  recover(): void {
    const all = [...this.#unacked.values()]
    this.#unacked.clear()
    this.#finish(all, requeue)
  }

  set channelPrefetch(count: number) {
    this.#channelPrefetch = count
    this.wake()
  }

  /** Delivers more to the channel's consumers if they have room again, those that waited longest first. */
  wake(): void {
    const parked = [...this.consumers.values()].filter((each) => each.parked)
    if (parked.length > 1) parked.sort((a, b) => a.lastTag - b.lastTag)
    for (const consumer of parked) consumer.queue.wake(consumer)
  }

  // Consumers

  cancelled(consumer: Consumer): void {
    this.consumers.delete(consumer.tag)
    if (this.peer.wantsCancel && !this.closing && !this.#dead) {
      this.reply('basic.cancel', { consumerTag: consumer.tag, nowait: true })
    }
  }

  /** This channel's own reply queue, for direct reply-to; undefined until it is consumed. */
  get replyTo(): string | undefined {
    return this.#replies?.name
  }

  get replyTag(): string | undefined {
    return this.#replies?.tag
  }

  /**
   * From now on replies to this channel arrive under that consumer tag; replies that it does not read in time are lost.
   */
  openReplyTo(tag: string): void {
    const name = `${replyToName}.${this.peer.deps.ids.hex()}`
    this.#replies = { name, tag }
    this.vhost.replyTakers.set(name, (message) => {
      if (this.closing || this.outbox.overflowing) return false
      this.outbox.content(this.number, deliverFields(tag, ++this.#lastTag, false), message)
      return true
    })
  }

  closeReplyTo(): void {
    if (this.#replies) this.vhost.replyTakers.delete(this.#replies.name)
    this.#replies = undefined
  }

  // Confirms

  confirmMode(): void {
    this.confirms ??= new Confirms((payload) => this.outbox.method(this.number, payload))
  }

  confirm(refused: boolean): void {
    if (!this.confirms) return
    this.confirms.settle(refused)
    this.peer.confirmLater(this)
  }

  flushConfirms(): void {
    if (!this.#dead && !this.closing) this.confirms?.flush()
  }

  // The close, in two steps, so that no channel of a lost connection receives what another one requeues

  /** Cancels its consumers. */
  silence(): void {
    this.#dead = true
    if (this.incoming?.header) forgetIncoming(this, this.incoming.received, this.incoming.size)
    this.incoming = undefined
    this.closeReplyTo()
    const consumers = [...this.consumers.values()]
    this.consumers.clear()
    for (const consumer of consumers) consumer.queue.unsubscribe(consumer)
  }

  /** Requeues its unacknowledged deliveries. */
  giveBack(): void {
    if (this.transaction) this.rollback()
    this.transaction = undefined
    const all = [...this.#unacked.values()]
    this.#unacked.clear()
    requeue(all)
  }

  // Transactions

  /** Carries out what the transaction held back. */
  commit(publish: (outgoing: Outgoing) => void): void {
    const { publishes, settlements } = this.#transaction()
    this.transaction = { publishes: [], settlements: [] }
    for (const each of publishes) {
      this.#forget([each])
      publish(each)
    }
    for (const { tags, finish } of settlements) this.#finish([...tags.values()], finish)
  }

  #forget(publishes: readonly Outgoing[]): void {
    for (const { message } of publishes) forgetIncoming(this, message.body.length, message.body.length)
  }

  /** Drops what the transaction held back: its acknowledgements have not happened. */
  rollback(): void {
    const { publishes, settlements } = this.#transaction()
    this.transaction = { publishes: [], settlements: [] }
    this.#forget(publishes)
    const back = [...this.#unacked, ...settlements.flatMap(({ tags }) => [...tags])].sort(([a], [b]) => a - b)
    this.#unacked.clear()
    for (const [tag, delivery] of back) this.#unacked.set(tag, delivery)
  }

  #transaction(): Transaction {
    return this.transaction ?? refuse('PRECONDITION_FAILED', 'channel is not transactional')
  }
}

/** A message of `size` bytes, of which `received` have arrived, is not arriving any more. */
export function forgetIncoming({ peer }: Channel, received: number, size: number): void {
  peer.deps.memory.shrink(received)
  peer.share?.sent(-(size + bookkeepingBytes))
}

const unknownTag = (tag: number): never => refuse('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)

function byQueue(deliveries: readonly Delivery[]): Map<Queue, Entry[]> {
  const queues = new Map<Queue, Entry[]>()
  for (const { queue, entry } of deliveries) {
    const entries = queues.get(queue)
    if (entries) entries.push(entry)
    else queues.set(queue, [entry])
  }
  return queues
}

export function acknowledge(deliveries: Delivery[]): void {
  for (const { queue, entry } of deliveries) queue.settle(entry)
}

export function discard(deliveries: Delivery[]): void {
  for (const { queue, entry } of deliveries) queue.reject(entry)
}

export function requeue(deliveries: Delivery[]): void {
  for (const [queue, entries] of byQueue(deliveries)) queue.requeue(entries)
}
