import type { Bus, BusOptions } from './bus.ts'
import { Calls } from './calls.ts'
import { Casts } from './casts.ts'
import { type ClientDeps, makeClient } from './client.ts'
import { queueDepths } from './depths.ts'
import { listeners, openOutlet, readers, startHearing } from './events.ts'
import { Link } from './link.ts'
import { notificationWriter } from './notifications.ts'
import { contextWriter } from './request-context.ts'
import { startServer } from './server.ts'

const defaultTimeoutMs = 60_000
const defaultNotificationTtlMs = 3_600_000

/**
 * Connects a process to the bus. `ConfigInvalid` for a URL that cannot be parsed, `BusDown` or `BusRefused` if the
 * first connection fails; no text ever shows the password.
 */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const link = await Link.open(options)
  const queues = options.queues ?? 'durable'
  const callTimeoutMs = options.callTimeoutMs ?? defaultTimeoutMs
  const calls = await Calls.open(link, queues).catch(async (e: unknown) => {
    await link.close()
    throw e
  })
  const casts = new Casts(link, queues, callTimeoutMs)
  const events = openOutlet(link, readers)
  const notifications = openOutlet(link, listeners(queues, options.notificationTtlMs ?? defaultNotificationTtlMs))
  const writeContext = contextWriter(options.clock)
  const writeNotification = notificationWriter(options.ids, writeContext)
  const deps: ClientDeps = { calls, casts, writeContext, callTimeoutMs }
  /** Functions that end serving and subscriptions, for callers who close the bus without ending them first. */
  const running = new Set<() => Promise<void>>()
  const once = (stop: () => Promise<void>): (() => Promise<void>) => {
    let stopping: Promise<void> | undefined
    const stopOnce = () => {
      stopping ??= stop().finally(() => running.delete(stopOnce))
      return stopping
    }
    running.add(stopOnce)
    return stopOnce
  }
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    link.hasten()
    await Promise.all([...running].map((stop) => stop()))
    await casts.close()
    await Promise.all([events.close(), notifications.close()])
    await calls.close()
    await link.close()
  }

  return {
    client: (contract, target) =>
      makeClient(
        target?.timeoutMs === undefined ? deps : { ...deps, callTimeoutMs: target.timeoutMs },
        contract,
        target?.server === undefined ? contract.topic : `${contract.topic}.${target.server}`,
        target?.cap,
      ),
    async serve(services, serveOptions) {
      const serving = await startServer(link, calls, queues, callTimeoutMs, services, serveOptions)
      const stop = once(() => serving.stop())
      return {
        stop,
        get lastPongAt() {
          return serving.lastPongAt
        },
      }
    },
    publish: async (key, body) => events.publish(key, JSON.stringify(body ?? null)),
    notify: (notification) => notifications.publish(...writeNotification(notification)),
    subscribe: async (patterns, hear) => once(await startHearing(link, patterns, hear)),
    queues: (names) => queueDepths(link, names),
    onLink: (listener) => link.onChange(listener),
    get up() {
      return link.up
    },
    get blocked() {
      return link.blocked
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}
