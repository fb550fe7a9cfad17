import type { Channel, ConsumeMessage, Options } from 'amqplib'
import { reason } from '../base/errors.ts'
import { mainExchange } from '../model/bus-user.ts'
import type { Received } from './bus.ts'
import { type Consumer, consumeQueue } from './consume.ts'
import { readDelivery, wrap } from './envelope.ts'
import type { KeptChannel } from './kept-channel.ts'
import type { Link } from './link.ts'
import { declareEvents, declareExchange, eventsExchange, eventsQueue, properties, type QueueKind } from './topology.ts'

/**
 * Publishes what has happened; never waits, and drops the oldest messages beyond a limit while the bus is down or slow.
 */
export type Outlet = {
  /** Publishes a message, as JSON text, under its routing key. */
  publish(key: string, json: string): void
  /** Sends the waiting messages if the connection is up. */
  close(): Promise<void>
}

/** Where an outlet publishes, and with which properties. */
export type Audience = {
  /** What is published, for the log. */
  readonly name: string
  readonly exchange: string
  readonly properties: Options.Publish
  declare(channel: Channel): Promise<unknown>
}

/** Our own events, for commands that wait and dashboards. */
export const readers: Audience = { name: 'events', exchange: eventsExchange, properties, declare: declareEvents }

/**
 * Listeners to notifications declare their own queues: a queue that nobody declared cannot fill up. Messages in a queue
 * whose listener is gone are dropped after `ttlMs`.
 */
export const listeners = (kind: QueueKind, ttlMs: number): Audience => ({
  name: 'notifications',
  exchange: mainExchange,
  // Persistent, if the listener's queue is: the listener may keep a record.
  properties: { ...properties, deliveryMode: 2, expiration: String(Math.ceil(ttlMs)) },
  declare: (channel) => declareExchange(channel, kind),
})

/** The maximum number of messages that wait for a bus that is down or slow. */
const bufferLimit = 1_000

/** Opens an outlet of a link; its channel is opened with the first message. */
export function openOutlet(link: Link, audience: Audience): Outlet {
  const buffer: Array<{ key: string; body: Buffer }> = []
  let kept: KeptChannel | undefined
  let dropped = 0

  const flush = (): void => {
    const senders = kept?.senders
    if (!senders?.clear) return
    if (dropped > 0) {
      link.log.warn({ dropped }, `${audience.name} dropped: bus down or slow`)
      dropped = 0
    }
    while (senders.clear) {
      const message = buffer.shift()
      if (message === undefined) return
      void senders.send(message.body.length, 0, (channel) => publishOn(channel, message))
    }
  }

  /** A channel that is just closing has no room, and the message waits for the next channel. */
  const publishOn = (channel: Channel, message: { key: string; body: Buffer }): boolean => {
    try {
      return channel.publish(audience.exchange, message.key, message.body, {
        ...audience.properties,
        userId: link.properties.userId,
      })
    } catch {
      buffer.unshift(message)
      return false
    }
  }

  const station = {
    name: audience.name,
    async setup(channel: Channel) {
      await audience.declare(channel)
    },
    room: flush,
  }

  return {
    publish(key, json) {
      kept ??= link.keepSoon(station)
      buffer.push({ key, body: wrap(json) })
      if (buffer.length > bufferLimit) {
        buffer.shift()
        dropped++
      }
      flush()
    },
    async close() {
      if (kept === undefined) return
      // A message that was published just before still waits for its channel.
      if (buffer.length > 0 && link.model !== undefined) await kept.ready().catch(() => undefined)
      flush()
      await link.drop(kept)
    },
  }
}

/** How many events a reader gets ahead; the others wait in its queue, which is bounded. */
const readAhead = 200

/** Receives what is published under the patterns from now on, until the returned function is called. */
export async function startHearing(
  link: Link,
  patterns: readonly string[],
  onEvent: (event: Received) => void,
): Promise<() => Promise<void>> {
  const take = (channel: Channel, message: ConsumeMessage): void => {
    try {
      onEvent({ key: message.fields.routingKey, body: readDelivery(message) })
    } catch (e) {
      link.log.warn({ key: message.fields.routingKey, why: reason(e) }, 'event not delivered to its reader')
    }
    try {
      channel.ack(message)
    } catch {
      // The channel is gone, and the queue with it.
    }
  }
  let consumer: Consumer | undefined
  const kept = await link.keep({
    name: 'hearing',
    async setup(channel) {
      await channel.prefetch(readAhead)
      // A new name each time: the broker may not know yet that the connection that owns the old queue is gone.
      const plan = eventsQueue(link.ids.hex(), patterns)
      consumer = await consumeQueue(link, channel, plan, (message) => take(channel, message))
    },
  })
  return async () => {
    await Promise.race([consumer?.cancel(), link.limit()])
    await link.drop(kept)
  }
}
