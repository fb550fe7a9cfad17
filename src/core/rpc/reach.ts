import type { Channel } from 'amqplib'
import { hostOfBusUser, hostsExchange, mainExchange } from '../model/bus-user.ts'
import {
  declareExchange,
  declareHostsExchange,
  hostReplyQueue,
  type QueueFlags,
  type QueuePlan,
  replyQueue,
} from './topology.ts'

/** What a login may reach on the bus, and so by which exchanges it sends. */
export type Reach = {
  /** The compute host whose login it is; undefined for one that may do everything. */
  readonly host: string | undefined
  /** Where questions and casts are published. */
  readonly exchange: string
  /** Where answers are published. */
  readonly replyExchange: string
  /** Sees that the exchanges of questions and answers are there. */
  declare(channel: Channel, flags: QueueFlags): Promise<unknown>
  /** The queue for this process's own answers. */
  replyQueue(hex: string): QueuePlan
}

const everywhere: Reach = {
  host: undefined,
  exchange: mainExchange,
  // The default exchange, as oslo.messaging has it.
  replyExchange: '',
  async declare(channel, flags) {
    await declareExchange(channel, flags)
    await declareHostsExchange(channel, flags)
  },
  replyQueue,
}

/** A host's login may only look whether the exchange is there; a conductor that was not there yet will have made it. */
const hostOnly = (host: string): Reach => ({
  host,
  exchange: hostsExchange,
  replyExchange: hostsExchange,
  declare: (channel) => channel.checkExchange(hostsExchange),
  replyQueue: (hex) => hostReplyQueue(host, hex),
})

/** What the broker lets this user do. */
export function reachOf(user: string): Reach {
  const host = hostOfBusUser(user)
  return host === undefined ? everywhere : hostOnly(host)
}
