import { systemClock } from '../core/base/clock.ts'
import { systemIds } from '../core/base/ids.ts'
import type { Log } from '../core/base/log.ts'
import type { Config } from '../core/config/load.ts'
import type { Published } from '../core/contracts/shapes.ts'
import type { Context } from '../core/model/context.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { CommandError } from './command-error.ts'

/** A log that keeps nothing, without the cost of loading a real one. */
const nothing = (): void => undefined
const quietLog = {
  level: 'silent',
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
  child: () => quietLog,
} as unknown as Log

/** A host's login may ask nobody, so that no command has an answer: says so before the bus closes the connection. */
export async function refuseHostLogin(config: Config): Promise<void> {
  if (config.bus.url === '') return
  const { hostOfBusUrl } = await import('../core/model/bus-user.ts')
  const host = hostOfBusUrl(config.bus.url)
  if (host !== undefined)
    throw new CommandError(
      `This machine has a host's login (host.${host}), which only "nova daemon compute" can use.`,
      'Run this command on a controller.',
      1,
    )
}

/**
 * Connects to the bus for one command. `BusDown`, `BusRefused`, or `Forbidden` if the cloud here belongs to another
 * user.
 */
export async function openBus(config: Config, timeoutMs: number | undefined, debug: boolean): Promise<Bus> {
  await refuseHostLogin(config)
  const [{ connectBus }, { certificatesOf }, { busUrl }] = await Promise.all([
    import('../core/rpc/connect.ts'),
    import('../core/config/certificates.ts'),
    import('../core/config/places.ts'),
  ])
  const log = debug ? (await import('../core/base/log.ts')).openLog('debug') : quietLog
  const patienceMs = config.bus.connectTimeoutSeconds * 1000
  return connectBus({
    url: busUrl(config),
    queues: config.bus.queues,
    tls: certificatesOf(config, 'bus'),
    name: 'nova-cli',
    log,
    clock: systemClock,
    ids: systemIds,
    callTimeoutMs: timeoutMs ?? config.bus.callTimeoutSeconds * 1000,
    connectTimeoutMs: Math.min(patienceMs, timeoutMs ?? patienceMs),
  })
}

/**
 * The bus as a caller may see it: administrators see every event; others see those of their project, without the host.
 * The conductor applies the same rules to its answers, and only the conductor enforces them.
 */
export function visibleTo({ isAdmin, projectId }: Pick<Context, 'isAdmin' | 'projectId'>, bus: Bus): Bus {
  if (isAdmin) return bus
  const subscribe: Bus['subscribe'] = (patterns, onEvent) =>
    bus.subscribe(patterns, ({ key, body }) => {
      const { host, ...event } = body as Published
      const isOfHost = host !== undefined && event.instanceId === undefined && event.operationId === undefined
      if (event.projectId === projectId && !isOfHost) onEvent({ key, body: event })
    })
  return Object.assign(Object.create(bus) as Bus, { subscribe })
}
