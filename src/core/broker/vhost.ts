import type { Clock } from '../base/clock.ts'
import { deadLetter } from './dead-letter.ts'
import { type Binding, Exchange, type ExchangeDeclaration, type ExchangeType } from './exchange.ts'
import { emptyTable, sameField, type Table } from './field-table.ts'
import type { Memory } from './memory.ts'
import type { Message } from './message.ts'
import { type Policy, underPolicy } from './policies.ts'
import { Queue, type QueueDeclaration, type QueueDeps } from './queue.ts'
import type { Share } from './share.ts'

/** The prefix of every direct reply-to queue; a token of its channel follows. */
export const replyToName = 'amq.rabbitmq.reply-to'

/** Accepts a reply that was sent to a channel's direct reply-to; false if it cannot. */
export type ReplyTaker = (message: Message) => boolean

/** The outcome of a publish: whether any queue got the message, and whether a full queue refused it. */
export type Published = { routed: boolean; refused: boolean }

const predeclared: ReadonlyArray<readonly [string, ExchangeType]> = [
  ['', 'direct'],
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]

/** A virtual host: a namespace of exchanges, queues and bindings. */
export class Vhost {
  readonly name: string
  readonly queues = new Map<string, Queue>()
  readonly exchanges = new Map<string, Exchange>()
  /** Direct reply-to: receivers of replies by the full name in reply_to. */
  readonly replyTakers = new Map<string, ReplyTaker>()
  readonly #clock: Clock
  readonly #queueDeps: QueueDeps
  readonly #policies: readonly Policy[]
  /** The bindings to a queue or an exchange. */
  readonly #inbound = new Map<Queue | Exchange, Set<Binding>>()

  constructor(name: string, deps: { clock: Clock; memory: Memory; policies: readonly Policy[] }) {
    this.#policies = deps.policies
    this.name = name
    this.#clock = deps.clock
    this.#queueDeps = {
      clock: deps.clock,
      memory: deps.memory,
      onDead: (queue, message, reason) => deadLetter(this, queue, message, reason, this.#clock.now()),
      onUnused: (queue) => void this.deleteQueue(queue),
    }
    for (const [exchange, type] of predeclared) {
      const durable = { durable: true, autoDelete: false, internal: false, table: emptyTable, alternate: undefined }
      this.addExchange({ name: exchange, type, ...durable })
    }
  }

  /** 406 if its user has as many queues as it may have. */
  addQueue(declaration: QueueDeclaration): Queue {
    declaration.share?.take('queues')
    const queue = new Queue(underPolicy(declaration, this.#policies), this.#queueDeps)
    this.queues.set(declaration.name, queue)
    return queue
  }

  /** Deletes a queue and every binding to it; returns how many messages were ready. */
  deleteQueue(queue: Queue): number {
    if (queue.deleted) return 0
    this.queues.delete(queue.name)
    this.#dropInbound(queue)
    queue.declared.share?.giveBack('queues')
    return queue.delete()
  }

  /** Deletes everything that a user who is gone has declared. */
  deleteAllOf(share: Share): void {
    for (const queue of [...this.queues.values()]) if (queue.declared.share === share) this.deleteQueue(queue)
    for (const exchange of [...this.exchanges.values()])
      if (exchange.declared.share === share) this.deleteExchange(exchange)
  }

  /** 406 if its user has as many exchanges as it may have. */
  addExchange(declaration: ExchangeDeclaration): Exchange {
    declaration.share?.take('exchanges')
    const exchange = new Exchange(declaration)
    this.exchanges.set(declaration.name, exchange)
    return exchange
  }

  deleteExchange(exchange: Exchange): void {
    if (this.exchanges.get(exchange.name) !== exchange) return
    this.exchanges.delete(exchange.name)
    exchange.declared.share?.giveBack('exchanges')
    this.#dropInbound(exchange)
    for (const binding of [...exchange.bindings]) {
      exchange.remove(binding)
      binding.share?.giveBack('bindings')
      this.#inbound.get(binding.destination)?.delete(binding)
    }
  }

  #dropInbound(destination: Queue | Exchange): void {
    const bindings = this.#inbound.get(destination) ?? []
    this.#inbound.delete(destination)
    for (const binding of bindings) this.#removeFromSource(binding)
  }

  #removeFromSource(binding: Binding): void {
    const { source } = binding
    source.remove(binding)
    binding.share?.giveBack('bindings')
    if (source.declared.autoDelete && source.bindings.size === 0) this.deleteExchange(source)
  }

  #find(wanted: Omit<Binding, 'share'>): Binding | undefined {
    for (const each of this.#inbound.get(wanted.destination) ?? []) {
      if (each.source !== wanted.source || each.routingKey !== wanted.routingKey) continue
      if (sameField({ tag: 'F', value: each.args }, { tag: 'F', value: wanted.args })) return each
    }
    return undefined
  }

  /** Adds a binding; an existing one stays as it is. 406 if its user has as many bindings as it may have. */
  bind(binding: Binding): void {
    if (this.#find(binding)) return
    binding.share?.take('bindings')
    const inbound = this.#inbound.get(binding.destination)
    if (inbound) inbound.add(binding)
    else this.#inbound.set(binding.destination, new Set([binding]))
    binding.source.add(binding)
  }

  /** Removes a binding; the last binding of an auto-delete exchange takes the exchange with it. */
  unbind(wanted: Omit<Binding, 'share'>): void {
    const binding = this.#find(wanted)
    if (!binding) return
    this.#inbound.get(binding.destination)?.delete(binding)
    this.#removeFromSource(binding)
  }

  /**
   * Puts a message into every queue that its exchange routes the keys to, once per queue. `allow` may exclude queues:
   * dead-lettering does so to end cycles.
   */
  publish(
    message: Message,
    exchange: Exchange,
    headers: Table | undefined,
    routingKeys: readonly string[] = [message.routingKey],
    allow?: (queue: Queue) => boolean,
  ): Published {
    const only = routingKeys.length === 1 ? this.#onlyQueue(exchange, routingKeys[0]!, headers) : undefined
    if (only) {
      // By far the most frequent case: every call, cast and answer.
      if (allow && !allow(only)) return { routed: false, refused: false }
      return { routed: true, refused: !only.enqueue(message) }
    }
    if (exchange.name === '' && routingKeys.length === 1) {
      return { routed: this.#reply(message, routingKeys[0]!), refused: false }
    }
    const queues = new Set<Queue>()
    this.#collect(exchange, routingKeys, headers, queues, new Set())
    let refused = false
    let routed = false
    for (const queue of queues) {
      if (allow && !allow(queue)) continue
      routed = true
      if (!queue.enqueue(message)) refused = true
    }
    return { routed, refused }
  }

  /** The queue that a key leads to, if it is one queue and nothing else. */
  #onlyQueue(exchange: Exchange, routingKey: string, headers: Table | undefined): Queue | undefined {
    if (exchange.name === '') return this.queues.get(routingKey)
    const found = exchange.match(routingKey, headers)
    const destination = found.length === 1 ? found[0]!.destination : undefined
    return destination?.kind === 'queue' ? destination : undefined
  }

  #reply(message: Message, routingKey: string): boolean {
    return routingKey.startsWith(replyToName) && this.replyTakers.get(routingKey)?.(message) === true
  }

  #collect(
    exchange: Exchange,
    routingKeys: readonly string[],
    headers: Table | undefined,
    queues: Set<Queue>,
    seen: Set<Exchange>,
  ): void {
    if (seen.has(exchange)) return
    seen.add(exchange)
    let found = false
    const follow = (destination: Queue | Exchange): void => {
      found = true
      if (destination.kind === 'queue') queues.add(destination)
      else this.#collect(destination, routingKeys, headers, queues, seen)
    }
    for (const key of routingKeys) {
      if (exchange.name !== '') for (const binding of exchange.match(key, headers)) follow(binding.destination)
      else {
        const queue = this.queues.get(key)
        if (queue) follow(queue)
      }
    }
    if (found || exchange.declared.alternate === undefined) return
    const alternate = this.exchanges.get(exchange.declared.alternate)
    if (alternate) this.#collect(alternate, routingKeys, headers, queues, seen)
  }
}
