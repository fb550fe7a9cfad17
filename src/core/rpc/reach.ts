import type { Channel } from 'amqplib'
import {
  busUserOf,
  hostMessageBytes,
  hostOfBusUser,
  hostsExchange,
  isQueueOf,
  mainExchange,
} from '../model/bus-user.ts'
import { bodyLimitBytes } from './envelope.ts'
import { type BoundQueue, declareExchange, declareHostsExchange, type QueueKind, replyQueue } from './topology.ts'

/** What a login may reach on the bus, and so which exchanges it sends to. */
export type Reach = {
  /** The compute host that owns the login; undefined for a login with all permissions. */
  readonly host: string | undefined
  /** The largest message that it may send, in bytes. */
  readonly bodyLimit: number
  /** The exchanges besides the main one that this process's own queue is bound to. */
  readonly ownExchanges: readonly string[]
  /** The exchange for calls and casts to a target. */
  exchangeTo(target: string): string
  /** The exchange for answers to a reply queue. */
  exchangeBack(queue: string): string
  /** Makes sure that the exchanges for requests and answers exist. */
  declare(channel: Channel, kind: QueueKind): Promise<unknown>
  /** The queue for answers to this process. */
  replyQueue(hex: string): BoundQueue
}

const everywhere: Reach = {
  host: undefined,
  bodyLimit: bodyLimitBytes,
  ownExchanges: [],
  exchangeTo: () => mainExchange,
  // The default exchange, as in oslo.messaging.
  exchangeBack: () => '',
  async declare(channel, kind) {
    await declareExchange(channel, kind)
    await declareHostsExchange(channel, kind)
  },
  replyQueue: (hex) => replyQueue(hex, [hostsExchange]),
}

/**
 * A host's login may only check whether the hosts' exchange exists; if no conductor has declared it yet, one will.
 * Self-pings of the host go through an exchange of its own, which has the name of its login.
 */
function hostOnly(host: string): Reach {
  const own = busUserOf(host)
  const exchangeTo = (queue: string): string => (isQueueOf(host, queue) ? own : hostsExchange)
  return {
    host,
    bodyLimit: hostMessageBytes,
    ownExchanges: [own],
    exchangeTo,
    exchangeBack: exchangeTo,
    async declare(channel) {
      await channel.checkExchange(hostsExchange)
      await channel.assertExchange(own, 'direct', { durable: false, autoDelete: true })
    },
    replyQueue: (hex) => replyQueue(`${own}.${hex}`, [own]),
  }
}

/** The permissions of this user on the broker. */
export function reachOf(user: string): Reach {
  const host = hostOfBusUser(user)
  return host === undefined ? everywhere : hostOnly(host)
}
