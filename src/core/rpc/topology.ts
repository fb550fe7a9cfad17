import type { Channel, Options } from 'amqplib'
import { hostsExchange, mainExchange } from '../model/bus-user.ts'

/** Names and flags of exchanges and queues, as in oslo.messaging and Nova. */

/** The topic exchange for events. */
export const eventsExchange = 'nova_events'
/** The exchange of casts to every server of a topic. */
const fanoutExchange = (topic: string): string => `${topic}_fanout`

/**
 * How the topic exchanges and shared queues are declared; all peers must agree.
 *
 * - `durable`: classic queues that are deleted with their last consumer: a message to nobody comes back at once.
 * - `quorum`: replicated over the nodes of a cluster, as oslo.messaging declares them with `rabbit_quorum_queue`.
 *   RabbitMQ has no auto-delete for them: a request to nobody waits until it expires.
 * - `transient`: as oslo.messaging declares them by default. RabbitMQ refuses these from 4.3 on.
 *
 * A queue that only one process reads is always exclusive, and is deleted with its connection.
 */
export type QueueKind = 'durable' | 'quorum' | 'transient'

/**
 * A durable queue survives a restart of the broker, but its servers may not come back: then the broker deletes it after
 * this time.
 */
const unusedMs = 60_000

const sharedFlags: Readonly<Record<QueueKind, Options.AssertQueue>> = {
  durable: { durable: true, autoDelete: true, expires: unusedMs },
  quorum: { durable: true, autoDelete: false, arguments: { 'x-queue-type': 'quorum' } },
  transient: { durable: false, autoDelete: false },
}

/** Whether a shared queue is deleted with its last consumer. */
export const goesWithConsumers = (kind: QueueKind): boolean => sharedFlags[kind].autoDelete === true

/** For one connection alone: RabbitMQ 4.3 accepts no other queues that are not durable. */
const exclusive = { durable: false, exclusive: true } as const

/** A queue to consume, and how to declare it. */
export type QueuePlan = { readonly name: string; declare(channel: Channel): Promise<unknown> }
/** A queue that is bound under its own name to these exchanges. */
export type BoundQueue = QueuePlan & {
  readonly exchanges: readonly string[]
  /** Unbinds and binds it anew: a broker may know a binding and not route by it. */
  rebind(channel: Channel): Promise<void>
}

const exchangeFlags = (kind: QueueKind) => ({ durable: kind !== 'transient' })

export const declareExchange = (channel: Channel, kind: QueueKind): Promise<unknown> =>
  channel.assertExchange(mainExchange, 'topic', exchangeFlags(kind))

export const declareHostsExchange = (channel: Channel, kind: QueueKind): Promise<unknown> =>
  channel.assertExchange(hostsExchange, 'topic', exchangeFlags(kind))

export const declareEvents = (channel: Channel): Promise<unknown> =>
  channel.assertExchange(eventsExchange, 'topic', { durable: false })

const declareFanout = (channel: Channel, topic: string): Promise<unknown> =>
  channel.assertExchange(fanoutExchange(topic), 'fanout', { durable: false, autoDelete: true })

/** A queue whose name is its routing key. */
const boundQueue = (name: string, flags: Options.AssertQueue, exchanges: readonly string[]): BoundQueue => ({
  name,
  exchanges,
  async declare(channel) {
    await channel.assertQueue(name, flags)
    for (const exchange of exchanges) await channel.bindQueue(name, exchange, name)
  },
  async rebind(channel) {
    for (const exchange of exchanges) {
      await channel.unbindQueue(name, exchange, name)
      await channel.bindQueue(name, exchange, name)
    }
  },
})

/** `<topic>`: all servers of the topic share it. */
export const sharedQueue = (topic: string, kind: QueueKind, exchanges: readonly string[]): BoundQueue =>
  boundQueue(topic, sharedFlags[kind], exchanges)

/**
 * `<topic>.<server>`: one server's own queue. Without that server there is no queue, and a message to it comes back at
 * once.
 */
export const serverQueue = (topic: string, server: string, exchanges: readonly string[]): BoundQueue =>
  boundQueue(`${topic}.${server}`, { ...exclusive, autoDelete: true }, exchanges)

/** A server's own queue on the topic's fanout. */
export const fanoutQueue = (topic: string, hex: string): QueuePlan => {
  const name = `${topic}_fanout_${hex}`
  return {
    name,
    async declare(channel) {
      await declareFanout(channel, topic)
      await channel.assertQueue(name, { ...exclusive, autoDelete: true })
      await channel.bindQueue(name, fanoutExchange(topic), topic)
    },
  }
}

/**
 * A connection's queue for answers, reached through the default exchange or, by logins that may not use that one,
 * through others. It outlives the channel that reads it.
 */
export const replyQueue = (id: string, exchanges: readonly string[]): BoundQueue =>
  boundQueue(`reply_${id}`, exclusive, exchanges)

/** Events that a reader has not read yet; the queue holds 10,000 at most and drops the oldest first. */
export const eventsQueue = (hex: string, patterns: readonly string[]): QueuePlan => {
  const name = `nova_events_${hex}`
  return {
    name,
    async declare(channel) {
      await declareEvents(channel)
      await channel.assertQueue(name, { ...exclusive, autoDelete: true, maxLength: 10_000 })
      for (const pattern of patterns) await channel.bindQueue(name, eventsExchange, pattern)
    },
  }
}

/**
 * AMQP properties of every message, as kombu sets them, except the delivery mode: a durable queue would write each
 * message to the broker's disk, and none of ours needs that. A caller waits for its answer, and what a cast starts is
 * in the database.
 */
export const properties = {
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  deliveryMode: 1,
  priority: 0,
} as const
