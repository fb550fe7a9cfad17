import { type Clock, systemClock } from '../base/clock.ts'
import { type Ids, systemIds } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Tls } from '../base/tls.ts'
import type { Permissions } from './access.ts'
import { AmqpError } from './amqp-error.ts'
import { Connection } from './connection.ts'
import type { ConnectionDeps } from './connection-deps.ts'
import { type Door, type ListenAddress, type Listener, listen } from './listener.ts'
import { Memory } from './memory.ts'
import { Flusher } from './outbox.ts'
import type { Policy } from './policies.ts'
import type { Queue } from './queue.ts'
import { Meter, type Rates } from './rates.ts'
import { type Limits, Shares } from './share.ts'
import { Strangers } from './strangers.ts'
import { Users } from './users.ts'
import { Vhost } from './vhost.ts'

/** Where a broker listens, its users, and its limits. */
export type BrokerOptions = {
  /** Where to listen; a TCP address without a host means loopback. */
  listen: readonly ListenAddress[]
  /** The certificate for addresses with TLS; with a CA, their clients must show a certificate signed by it. */
  tls?: Tls | undefined
  /** Passwords by user name. Each of these users may do everything in every virtual host. */
  users: Readonly<Record<string, string>>
  /**
   * The file of the users with fewer permissions, see {@link Broker.putUser}; without it these users are lost when the
   * broker stops.
   */
  usersFile?: string
  /** The names of the virtual hosts; only `/` if unset. */
  vhosts?: readonly string[]
  /** Limits for queues by their names; the first policy that matches a queue applies. */
  policies?: readonly Policy[]
  /** The heartbeat interval offered to clients, in seconds; 0 for none. */
  heartbeatSeconds?: number
  /** The largest frame offered to clients, in bytes. */
  frameMax?: number
  /** When messages take more bytes than this, publishers are blocked. */
  memoryBytes?: number
  /** The largest message accepted, in bytes; 16 MiB if unset. */
  messageBytes?: number
  /** What each user with restricted permissions may have, see {@link Broker.putUser}. */
  userLimits?: Partial<Limits>
  log: Log
  clock?: Clock
  ids?: Ids
}

/** A queue as people see it. */
type QueueStats = Rates & {
  name: string
  vhost: string
  depth: number
  unacked: number
  consumers: number
  bytes: number
  policy: string | undefined
}
type BrokerStats = {
  connections: number
  messageBytes: number
  messageBytesMax: number
  blocked: boolean
  queues: QueueStats[]
}

/** A running broker. */
export type Broker = {
  /** The address, with the real port if port 0 was requested. */
  addresses(): ReadonlyArray<Listener['address']>
  stats(): BrokerStats
  /**
   * Adds a user with these permissions in every virtual host; an existing user (`known`) gets a new password, and its
   * connections are closed. Returns the password.
   */
  putUser(name: string, permissions: Permissions): { known: boolean; password: string }
  /** Removes a user, closes its connections, and deletes its queues and exchanges; false if there is no such user. */
  deleteUser(name: string): boolean
  /** Drops the ready messages of a queue and returns their number; undefined if there is no such queue. */
  purge(vhost: string, queue: string): number | undefined
  /** Closes every connection with 320 and stops listening; resolves when everything is closed. */
  close(): Promise<void>
}

/** What a user with restricted permissions may have, unless the options say otherwise: several daemons' needs. */
const defaultLimits: Limits = {
  messageBytes: 8 << 20,
  sentBytes: 16 << 20,
  receivedBytes: 64 << 20,
  connections: 16,
  channels: 256,
  consumersPerChannel: 64,
  queues: 64,
  exchanges: 16,
  bindings: 256,
}

/** How long clients have to answer the close of a broker that stops. */
const farewellMs = 1_000

/**
 * Starts an AMQP 0-9-1 server in this process that clients take for RabbitMQ. Everything is kept in memory: messages
 * are lost when the broker stops. Fails with `ListenFailed` if an address is in use.
 * @see https://www.rabbitmq.com/amqp-0-9-1-reference.html
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const clock = options.clock ?? systemClock
  const connections = new Set<Connection>()
  const users = new Users(options.users, options.usersFile)
  const memory = new Memory(options.memoryBytes ?? 256 << 20, (alarmed) => {
    options.log.warn(
      { messageBytes: memory.held },
      alarmed ? 'memory alarm: publishers are blocked' : 'memory alarm cleared',
    )
    if (!alarmed) for (const connection of connections) connection.unblock()
  })
  const vhosts = new Map(
    (options.vhosts ?? ['/']).map((name) => [
      name,
      new Vhost(name, { clock, memory, policies: options.policies ?? [] }),
    ]),
  )
  const shares = new Shares({ ...defaultLimits, ...options.userLimits })
  const strangers = new Strangers()
  const meter = new Meter(clock, function* () {
    for (const vhost of vhosts.values()) yield* vhost.queues.values()
  })
  const deps: ConnectionDeps = {
    clock,
    ids: options.ids ?? systemIds,
    log: options.log,
    memory,
    alarm: memory,
    flusher: new Flusher(),
    users,
    vhosts,
    messageBytes: options.messageBytes ?? 16 << 20,
    shares,
    strangers,
    offer: {
      channelMax: 2047,
      frameMax: options.frameMax ?? 131_072,
      heartbeat: options.heartbeatSeconds ?? 60,
    },
  }
  const doorOf = (deps: ConnectionDeps): Door => ({
    admits: (socket) => strangers.arrive(socket),
    onSocket: (socket) =>
      void connections.add(new Connection(socket, deps, (connection) => connections.delete(connection))),
  })
  const [door, pastAlarm] = [doorOf(deps), doorOf({ ...deps, alarm: { alarmed: false } })]
  const listeners: Listener[] = []
  const stop = async () => {
    meter.stop()
    const closed = Promise.all(listeners.map((each) => each.close()))
    for (const each of connections) each.close(new AmqpError('CONNECTION_FORCED', 'broker forced connection closure'))
    const giveUp = clock.after(farewellMs, () => {
      for (const each of [...connections]) each.destroy()
    })
    await closed
    giveUp()
  }
  try {
    for (const at of options.listen) {
      const isPast = 'path' in at && at.pastAlarm === true
      listeners.push(await listen(at, isPast ? pastAlarm : door, options.tls))
    }
  } catch (e) {
    await stop()
    throw e
  }
  let stopped: Promise<void> | undefined
  return {
    addresses: () => listeners.map((each) => each.address),
    stats: () => ({ connections: connections.size, ...memoryStats(memory), queues: queuesOf(vhosts, meter) }),
    putUser(name, permissions) {
      const put = users.put(name, permissions)
      dismiss(connections, name)
      return put
    },
    deleteUser(name) {
      dismiss(connections, name)
      shares.remove(name, vhosts.values())
      return users.remove(name)
    },
    purge: (vhost, queue) => vhosts.get(vhost)?.queues.get(queue)?.purge(),
    close: () => {
      stopped ??= stop()
      return stopped
    },
  }
}

/** Closes the connections of a user who may not use them any more. */
function dismiss(connections: Iterable<Connection>, user: string): void {
  const why = new AmqpError('CONNECTION_FORCED', `user '${user}' has another password, or is gone`)
  for (const each of [...connections]) if (each.user === user) each.close(why)
}

const memoryStats = ({ held, bound, alarmed }: Memory) => ({
  messageBytes: held,
  messageBytesMax: bound,
  blocked: alarmed,
})

const queuesOf = (vhosts: ReadonlyMap<string, Vhost>, meter: Meter): QueueStats[] =>
  [...vhosts.values()].flatMap((vhost) => [...vhost.queues.values()].map((queue) => queueStats(vhost, queue, meter)))

const queueStats = (vhost: Vhost, queue: Queue, meter: Meter): QueueStats => ({
  name: queue.name,
  vhost: vhost.name,
  depth: queue.depth,
  unacked: queue.unacked,
  consumers: queue.consumers,
  bytes: queue.bytes,
  policy: queue.declared.policy,
  ...meter.ratesOf(queue),
})
