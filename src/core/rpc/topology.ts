import type { Channel } from 'amqplib'
import { hostsExchange, mainExchange } from '../model/bus-user.ts'

/** Names and flags of exchanges and queues, as oslo.messaging and Nova have them. */

/** The topic exchange on which events are told. */
export const eventsExchange = 'nova_events'
/** The exchange of casts to every server of a topic. */
export const fanoutExchange = (topic: string): string => `${topic}_fanout`

/** What a reply or fanout queue outlives its consumer by, before the broker drops it. */
const transientMs = 1_800_000

/**
 * Flags of the topic exchange and of the queues `<topic>` and `<topic>.<server>`; all peers must agree. Auto-delete is what
 * makes a message to nobody come back at once, where oslo.messaging lets it lie: take `autoDelete: false` to share queues with Python.
 */
export type QueueFlags = { readonly durable: boolean; readonly autoDelete: boolean }
export const ownFlags: QueueFlags = { durable: false, autoDelete: true }

/** A queue to consume from, and how to declare it. */
export type QueuePlan = { readonly name: string; declare(channel: Channel): Promise<unknown> }
/** A queue that is bound under its own name to these exchanges. */
export type BoundQueue = QueuePlan & { readonly exchanges: readonly string[] }

export const declareExchange = (channel: Channel, flags: QueueFlags): Promise<unknown> =>
  channel.assertExchange(mainExchange, 'topic', { durable: flags.durable })

export const declareHostsExchange = (channel: Channel, flags: QueueFlags): Promise<unknown> =>
  channel.assertExchange(hostsExchange, 'topic', { durable: flags.durable })

export const declareEvents = (channel: Channel): Promise<unknown> =>
  channel.assertExchange(eventsExchange, 'topic', { durable: false })

export const declareFanout = (channel: Channel, topic: string): Promise<unknown> =>
  channel.assertExchange(fanoutExchange(topic), 'fanout', { durable: false, autoDelete: true })

/** `<topic>` or `<topic>.<server>`: name and routing key are one. */
export const topicQueue = (name: string, flags: QueueFlags, exchanges: readonly string[]): BoundQueue => ({
  name,
  exchanges,
  async declare(channel) {
    await channel.assertQueue(name, { durable: flags.durable, autoDelete: flags.autoDelete })
    for (const exchange of exchanges) await channel.bindQueue(name, exchange, name)
  },
})

/** A server's own queue on the topic's fanout. */
export const fanoutQueue = (topic: string, hex: string): QueuePlan => {
  const name = `${topic}_fanout_${hex}`
  return {
    name,
    async declare(channel) {
      await declareFanout(channel, topic)
      await channel.assertQueue(name, { durable: false, expires: transientMs })
      await channel.bindQueue(name, fanoutExchange(topic), topic)
    },
  }
}

/** A process's queue for answers, reached through the default exchange, and by those who may not use it through others. */
export const replyQueue = (id: string, exchanges: readonly string[]): BoundQueue => {
  const name = `reply_${id}`
  return {
    name,
    exchanges,
    async declare(channel) {
      await channel.assertQueue(name, { durable: false, expires: transientMs })
      for (const exchange of exchanges) await channel.bindQueue(name, exchange, name)
    },
  }
}

/** What a reader has not heard yet; it holds 10,000 events at most and forgets the oldest first. */
export const eventsQueue = (hex: string, patterns: readonly string[]): QueuePlan => {
  const name = `nova_events_${hex}`
  return {
    name,
    async declare(channel) {
      await declareEvents(channel)
      await channel.assertQueue(name, { durable: false, exclusive: true, autoDelete: true, maxLength: 10_000 })
      for (const pattern of patterns) await channel.bindQueue(name, eventsExchange, pattern)
    },
  }
}

/** AMQP properties of every message, as kombu sets them. */
export const properties = {
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  deliveryMode: 2,
  priority: 0,
} as const
