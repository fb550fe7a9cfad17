import { splitUrls } from '../base/redact.ts'

/**
 * What users of the broker may do. Names of queues and exchanges, and routing keys on topic exchanges, as regular
 * expressions; the same three kinds as RabbitMQ's.
 * @see https://www.rabbitmq.com/docs/access-control
 */
export type BusPermissions = {
  readonly configure: string
  readonly write: string
  readonly read: string
  readonly topics: Array<{ readonly exchange: string; readonly write: string; readonly read: string }>
}

/** The topic exchange of all calls and casts; `control_exchange` to oslo.messaging. A host's user may not publish there. */
export const mainExchange = 'nova'
/**
 * The only exchange that a host's user may publish on. Nothing is bound to it but the queues of the topics `agent` and
 * `compute_agent` and the reply queues of those who ask hosts: whatever way a message takes to it, it ends there.
 */
export const hostsExchange = 'nova_hosts'

const prefix = 'host.'

/** The services that a host may run; each has a queue `<service>.<host>`. */
const services = ['compute', 'network', 'volume'] as const

/** The broker's user of a host: one for all services of the host. The host's own exchange has the same name. */
export const busUserOf = (host: string): string => `${prefix}${host}`

/** The host whose user this is; undefined for everybody else. */
export const hostOfBusUser = (user: string): string | undefined =>
  user.startsWith(prefix) && user.length > prefix.length ? user.slice(prefix.length) : undefined

/** The host whose login a bus URL has: nothing but `nova daemon compute` can use it. Undefined with any other login. */
export function hostOfBusUrl(urls: string): string | undefined {
  const [first = ''] = splitUrls(urls)
  const user = /^[^:]*:\/\/([^:@/]*)(?::.*)?@/s.exec(first)?.[1] ?? ''
  try {
    return hostOfBusUser(decodeURIComponent(user))
  } catch {
    // Whoever connects says what is wrong with the URL.
    return undefined
  }
}

/** How the names of hosts' own queues begin, as a regular expression. */
const hostsQueues = `(${services.join('|')}|reply_host)\\.`
const hostsOwn = new RegExp(`^(${prefix.replace('.', '\\.')}|${hostsQueues})`)

/**
 * Whether a message comes from a host's user: by its sender, which need not be there, or by the exchange that it was
 * published on, which the broker itself writes: the hosts' exchange, or one with the name of a host's own queue.
 */
export const isFromHost = (exchange: string, user: unknown): boolean =>
  exchange === hostsExchange ||
  hostsOwn.test(exchange) ||
  (typeof user === 'string' && hostOfBusUser(user) !== undefined)

/** Whether a queue takes the answers for this host. */
export const isReplyQueueOf = (host: string, queue: string): boolean => queue.startsWith(`reply_${busUserOf(host)}.`)

/** Whether a queue is one of this host's services, or takes the answers for the host. */
export const isQueueOf = (host: string, queue: string): boolean =>
  services.some((service) => queue === `${service}.${host}`) || isReplyQueueOf(host, queue)

/** A host listens on the queues of its services, asks conductors, and answers those who ask it; nothing else is in its reach. */
export function hostPermissions(host: string): BusPermissions {
  const name = host.replaceAll('.', '\\.')
  const own = `(${services.join('|')})\\.${name}`
  const reach = `host\\.${name}|${own}|reply_host\\.${name}\\.[0-9a-f]+`
  return {
    configure: `^(${reach})$`,
    write: `^(${hostsExchange}|${reach})$`,
    read: `^(${mainExchange}|${reach})$`,
    topics: [
      { exchange: mainExchange, write: '^$', read: `^${own}$` },
      { exchange: hostsExchange, write: '^(agent|compute_agent|reply_[0-9a-f]+)$', read: '^$' },
    ],
  }
}

/** The largest message that a host's user may send, in bytes: a console of 1 MiB, all of whose bytes JSON escapes. */
export const hostMessageBytes = 8 << 20

/** The most connections and channels of a host's user: several daemons, some of them just starting anew. */
export const hostConnections = { connections: 16, channels: 256 } as const

/**
 * The policy that bounds hosts' own queues: a host that does not read, or a thief of its login, must not fill the broker.
 * Beyond the bytes the oldest messages are dropped; a queue that nobody uses for so long is deleted.
 */
export const hostsPolicy = {
  name: 'nova-hosts',
  pattern: `^${hostsQueues}`,
  maxLengthBytes: 64 << 20,
  expiresMs: 600_000,
} as const
