import { type Clock, every } from '../core/base/clock.ts'
import { isFailure, reason } from '../core/base/errors.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import type { Config } from '../core/config/load.ts'
import { busIsEmbedded } from '../core/config/places.ts'
import { agent } from '../core/contracts/agent.ts'
import { broker } from '../core/contracts/broker.ts'
import { computeAgent } from '../core/contracts/compute-agent.ts'
import { conductor } from '../core/contracts/conductor.ts'
import type { Db } from '../core/db/open.ts'
import { unresponsiveAfterMs } from '../core/model/health.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'
import { rabbitmqBroker } from '../core/rabbitmq/broker.ts'
import { openManagement } from '../core/rabbitmq/management.ts'
import { keepPoliciesOf } from '../core/rabbitmq/policies.ts'
import { unmanagedBroker } from '../core/rabbitmq/unmanaged.ts'
import { parseAddresses, withLogin } from '../core/rpc/address.ts'
import type { Bus, QueueDepth } from '../core/rpc/bus.ts'
import type { Api } from '../core/rpc/contract.ts'
import { listServices } from '../core/store/services.ts'
import type { Runtime } from './runtime.ts'

/** How often the policies are checked: somebody may have removed one, or reset the broker. */
const policyMs = 60_000

/** Keeps queues that only people read, and those of hosts, bounded on RabbitMQ; the embedded broker bounds them itself. */
export function keepPolicies({ config, clock, log, onStop }: Runtime): void {
  if (busIsEmbedded(config) || config.bus.managementUrl === '') return
  const management = managementOf(config, clock)
  const keep = async () => {
    const policies = await keepPoliciesOf(management, vhostOf(config), config.notifications)
    if (policies.length > 0) log.info({ policies }, 'policies set')
  }
  onStop(
    every(clock, policyMs, keep, (e) => log.warn({ err: e }, `policies not set, queues are not bounded: ${reason(e)}`)),
  )
}

const managementOf = (config: Config, clock: Clock) =>
  openManagement(config.bus.managementUrl, clock, certificatesOf(config, 'bus')?.ca)

const vhostOf = (config: Config): string => decodeURIComponent(parseAddresses(config.bus.url)[0].connect.vhost ?? '/')

/**
 * How the conductor reaches the management of the broker: RabbitMQ by its management API; an embedded broker, here or
 * on another machine, over the bus.
 */
export function brokerOf(config: Config, clock: Clock, bus: Bus, db: Db): Api<typeof broker> {
  const embedded = bus.client(broker)
  if (busIsEmbedded(config)) return embedded
  const depths = (names: readonly string[]) => bus.queues(names)
  if (config.bus.managementUrl === '') {
    const unmanaged = unmanagedBroker({ depths, names: () => serviceQueues(config, clock, db) })
    return {
      queueList: (ctx, args) => embedded.queueList(ctx, args).catch(otherwise(() => unmanaged.queueList(ctx, args))),
      queuePurge: (ctx, args) => embedded.queuePurge(ctx, args).catch(otherwise(() => unmanaged.queuePurge(ctx, args))),
      userPut: (ctx, args) => embedded.userPut(ctx, args).catch(otherwise(() => unmanaged.userPut(ctx, args))),
      userDelete: (ctx, args) => embedded.userDelete(ctx, args).catch(otherwise(() => unmanaged.userDelete(ctx, args))),
    }
  }
  return brokerByManagement(config, clock, depths)
}

/** RabbitMQ's management API as the broker's keeper: it answers even while the bus accepts no messages. */
export function brokerByManagement(
  config: Config,
  clock: Clock,
  depths: (names: readonly string[]) => Promise<QueueDepth[]>,
): Api<typeof broker> {
  const urlOf = (user: string, password: string) => withLogin(config.bus.url, user, password)
  const management = managementOf(config, clock)
  return rabbitmqBroker({ management, vhost: vhostOf(config), urlOf, depths })
}

/** If nobody answers for the broker on the bus, the broker is RabbitMQ. */
const otherwise =
  <T>(instead: () => Promise<T>) =>
  (e: unknown): Promise<T> =>
    isFailure(e, 'HostUnreachable') ? instead() : Promise.reject(e)

/** The queues that the services consume, as far as the database knows them. */
async function serviceQueues(config: Config, clock: Clock, db: Db): Promise<string[]> {
  const { serviceDownTime, pingSeconds } = config.services
  const alive = { now: clock.now(), downMs: serviceDownTime * 1000, silentMs: unresponsiveAfterMs(pingSeconds) }
  const services = await listServices(db, { alive, limit: 10_000 })
  const own = services.flatMap(({ binary, host }) => [
    `${binary}.${host}`,
    ...(binary === conductor.topic ? [agent, computeAgent].map(({ topic }) => `${topic}.${host}`) : []),
  ])
  return [...new Set([...sharedTopics, ...own])]
}
