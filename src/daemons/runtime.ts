import { hostname } from 'node:os'
import { type Clock, systemClock } from '../core/base/clock.ts'
import { isFailure, reason } from '../core/base/errors.ts'
import { exec, ownEnv } from '../core/base/exec.ts'
import { type Ids, systemIds } from '../core/base/ids.ts'
import { type Log, openLog } from '../core/base/log.ts'
import { backoffMs } from '../core/base/retry.ts'
import { version } from '../core/base/version.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import { type Config, systemdWaits } from '../core/config/load.ts'
import { busUrl } from '../core/config/places.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { connectBus } from '../core/rpc/connect.ts'

/** What every daemon gets. Functions handed to `onStop` are called in reverse order at the end. */
export type Runtime = {
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  readonly ids: Ids
  onStop(undo: () => Promise<void> | void): void
  /** Ends the process with a failure, because it cannot go on. */
  die(e: unknown): void
}

/** Ends a process that did not stop by itself, so that a hanging action cannot hold up a shutdown for ever. */
const stopWithinMs = 15_000

/**
 * Runs a daemon until SIGTERM or SIGINT, then stops its parts in reverse order and exits with 0. Failures are fatal:
 * exit code 2 for a wrong configuration, 1 for everything else that prevents the start or that nothing caught.
 */
export async function runDaemon(
  name: string,
  config: Config,
  start: (runtime: Runtime) => Promise<void>,
): Promise<never> {
  // Everything that a daemon writes is private to its owner: databases, images, disks and sockets.
  process.umask(0o077)
  const log = openLog(config.log.level).child({ daemon: name })
  const undo: Array<() => Promise<void> | void> = []
  const stop = async (code: number): Promise<never> => {
    systemClock.after(stopWithinMs, () => process.exit(code || 1))
    for (const fn of undo.splice(0).reverse()) {
      try {
        await fn()
      } catch (e) {
        log.warn({ err: e }, 'a part did not stop cleanly')
      }
    }
    log.info({ code }, 'stopped')
    process.exit(code)
  }
  const die = (e: unknown) => {
    log.fatal({ err: e }, `${name} exits: ${reason(e)}`)
    process.exit(isFailure(e, 'ConfigInvalid') ? 2 : 1)
  }
  const runtime: Runtime = { config, log, clock: systemClock, ids: systemIds, onStop: (fn) => undo.push(fn), die }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)

  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
  })
  // A start may wait a long time for a bus or a conductor; a signal ends that, too.
  const started = await Promise.race([start(runtime).then(() => true, die), signalled.then(() => false)])
  if (!started) return stop(0)
  log.info({ version, host: hostname() }, `${name} is ready`)
  await notifyReady()
  const signal = await signalled
  log.info({ signal }, 'stopping')
  return stop(0)
}

/** A broker that starts may refuse for a moment; a daemon that is refused for longer ends, so that it reads its login anew. */
const refusedMs = 60_000

/**
 * Connects a daemon to the bus; the connection is closed when the daemon stops. If the broker is not up yet, it waits,
 * so that the order in which machines start does not matter. If a broker refuses the login, the daemon ends, at its start as
 * later: a person has to fix that, and whatever starts daemons again does so with the new login.
 */
export async function joinBus(
  { config, log, clock, ids, onStop, die }: Runtime,
  name: string,
  url = busUrl(config),
): Promise<Bus> {
  let refusedSince: number | undefined
  const onRefused = (why: unknown) => {
    refusedSince ??= clock.now()
    if (clock.now() - refusedSince >= refusedMs) die(why)
  }
  for (let n = 0; ; n++) {
    try {
      const bus = await connectBus({
        onRefused,
        url,
        queues: config.bus.queues,
        tls: certificatesOf(config, 'bus'),
        name,
        log,
        clock,
        ids,
        callTimeoutMs: config.bus.callTimeoutSeconds * 1000,
        connectTimeoutMs: config.bus.connectTimeoutSeconds * 1000,
        notificationTtlMs: config.notifications.ttlSeconds * 1000,
      })
      bus.onLink((up) => {
        if (up) refusedSince = undefined
      })
      onStop(() => bus.close())
      return bus
    } catch (e) {
      if (!isFailure(e, 'BusDown')) throw e
      log.warn({ err: e }, 'waiting for the bus connection')
      process.send?.({ waiting: `waiting for the bus at ${e.params.url}: ${e.params.why}` })
      await clock.sleep(backoffMs(n, ids.random()))
    }
  }
}

/** Reports readiness to the parent: the supervisor by its channel, systemd by systemd-notify (Type=notify). */
async function notifyReady(): Promise<void> {
  process.send?.({ ready: true })
  if (systemdWaits()) await exec('systemd-notify', ['--ready'], { env: ownEnv() })
}
