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
 * The only exchange that a host's user may publish on. Nothing is bound to it but the queue of the topic `agent` and the
 * reply queues of those who ask hosts: whatever way a message takes to it, it ends there.
 */
export const hostsExchange = 'nova_hosts'

const prefix = 'compute.'

/** The broker's user of a compute host. It has the name of the queue that the host listens on. */
export const busUserOf = (host: string): string => `${prefix}${host}`

/** The host whose user this is; undefined for everybody else. */
export const hostOfBusUser = (user: string): string | undefined =>
  user.startsWith(prefix) && user.length > prefix.length ? user.slice(prefix.length) : undefined

/** A host listens on its own queue, asks conductors, and answers those who ask it; nothing else is in its reach. */
export function hostPermissions(host: string): BusPermissions {
  const own = busUserOf(host).replaceAll('.', '\\.')
  const queues = `${own}|reply_${own}\\.[0-9a-f]+`
  return {
    configure: `^(${queues})$`,
    write: `^(${hostsExchange}|${queues})$`,
    read: `^(${mainExchange}|${queues})$`,
    topics: [
      { exchange: mainExchange, write: '^$', read: `^${own}$` },
      { exchange: hostsExchange, write: '^(agent|compute_agent|reply_[0-9a-f]+)$', read: '^$' },
    ],
  }
}
