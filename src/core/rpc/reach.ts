import type { Channel } from 'amqplib'
import { busUserOf, hostOfBusUser, hostsExchange, mainExchange } from '../model/bus-user.ts'
import { type BoundQueue, declareExchange, declareHostsExchange, type QueueKind, replyQueue } from './topology.ts'

/** What a login may reach on the bus, and so by which exchanges it sends. */
export type Reach = {
  /** The compute host whose login it is; undefined for one that may do everything. */
  readonly host: string | undefined
  /** What this process's own queue of a server is bound to, besides the main exchange. */
  readonly ownExchanges: readonly string[]
  /** Where questions and casts to a target are published. */
  exchangeTo(target: string): string
  /** Where answers are published that are for a reply queue. */
  exchangeBack(queue: string): string
  /** Sees that the exchanges of questions and answers are there. */
  declare(channel: Channel, kind: QueueKind): Promise<unknown>
  /** The queue for this process's own answers. */
  replyQueue(hex: string): BoundQueue
}

const everywhere: Reach = {
  host: undefined,
  ownExchanges: [],
  exchangeTo: () => mainExchange,
  // The default exchange, as oslo.messaging has it.
  exchangeBack: () => '',
  async declare(channel, kind) {
    await declareExchange(channel, kind)
    await declareHostsExchange(channel, kind)
  },
  replyQueue: (hex) => replyQueue(hex, [hostsExchange]),
}

/**
 * A host's login may only look whether the hosts' exchange is there; a conductor that was not there yet will have made it.
 * What the host says to itself goes by an exchange of its own, of the same name as its queue.
 */
function hostOnly(host: string): Reach {
  const own = busUserOf(host)
  const exchangeTo = (queue: string): string =>
    queue === own || queue.startsWith(`reply_${own}.`) ? own : hostsExchange
  return {
    host,
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

/** What the broker lets this user do. */
export function reachOf(user: string): Reach {
  const host = hostOfBusUser(user)
  return host === undefined ? everywhere : hostOnly(host)
}
