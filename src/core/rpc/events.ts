import type { Channel, ConsumeMessage } from 'amqplib'
import { reason } from '../base/errors.ts'
import type { Heard } from './bus.ts'
import { type Consumer, consumeQueue } from './consume.ts'
import { unwrap, wrap } from './envelope.ts'
import type { KeptChannel } from './kept-channel.ts'
import type { Link } from './link.ts'
import { declareEvents, eventsExchange, eventsQueue, properties } from './topology.ts'

/** Publishes events; never waits, and drops the oldest beyond a limit while the bus is down or slow. */
export type Events = {
  publish(key: string, body: unknown): void
  /** Sends what is waiting, where the bus stands. */
  close(): Promise<void>
}

/** The most events that wait for a bus that is down or slow. */
const bufferLimit = 1_000

/** The events of one link; its channel is opened with the first of them. */
export function openEvents(link: Link): Events {
  const buffer: Array<{ key: string; body: Buffer }> = []
  let kept: KeptChannel | undefined
  let dropped = 0

  const flush = (): void => {
    const senders = kept?.senders
    if (!senders?.clear) return
    if (dropped > 0) {
      link.log.warn({ dropped }, 'events were dropped while the bus was down or slow')
      dropped = 0
    }
    while (senders.clear) {
      const event = buffer.shift()
      if (event === undefined) return
      void senders.send(event.body.length, 0, (channel) => tell(channel, event))
    }
  }

  /** A channel that is just closing has no room, and the event waits for the next one. */
  const tell = (channel: Channel, event: { key: string; body: Buffer }): boolean => {
    try {
      return channel.publish(eventsExchange, event.key, event.body, properties)
    } catch {
      buffer.unshift(event)
      return false
    }
  }

  const station = {
    name: 'events',
    async setup(channel: Channel) {
      await declareEvents(channel)
    },
    room: flush,
  }

  return {
    publish(key, body) {
      kept ??= link.keepSoon(station)
      buffer.push({ key, body: wrap(JSON.stringify(body ?? null)) })
      if (buffer.length > bufferLimit) {
        buffer.shift()
        dropped++
      }
      flush()
    },
    async close() {
      if (kept === undefined) return
      // One that was published just before still waits for its channel.
      if (buffer.length > 0 && link.model !== undefined) await kept.ready().catch(() => undefined)
      flush()
      await link.drop(kept)
    },
  }
}

/** How many events a reader gets ahead; the others wait in its queue, which is bounded. */
const readAhead = 200

/** Hears what is published under the patterns from now on, until the returned function is called. */
export async function startHearing(
  link: Link,
  patterns: readonly string[],
  hear: (event: Heard) => void,
): Promise<() => Promise<void>> {
  const take = (channel: Channel, message: ConsumeMessage): void => {
    try {
      hear({ key: message.fields.routingKey, body: unwrap(message.content) })
    } catch (e) {
      link.log.warn({ key: message.fields.routingKey, why: reason(e) }, 'an event was not heard')
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
      // A new name each time: the broker may not know yet that the connection is gone which the old queue belongs to.
      const plan = eventsQueue(link.ids.hex(), patterns)
      consumer = await consumeQueue(link, channel, plan, (message) => take(channel, message))
    },
  })
  return async () => {
    await Promise.race([consumer?.cancel(), link.limit()])
    await link.drop(kept)
  }
}
