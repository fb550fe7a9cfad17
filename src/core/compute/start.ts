import { type Engine, openEngine } from '../agent/engine.ts'
import { heartbeats } from '../agent/heartbeat.ts'
import { hello } from '../agent/hello.ts'
import { every } from '../base/clock.ts'
import { KeyedMutex } from '../base/concurrency.ts'
import { reason } from '../base/errors.ts'
import { compute } from '../contracts/compute.ts'
import { type Context, serviceContext } from '../model/context.ts'
import { type Bus, type Serving, served } from '../rpc/bus.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import { type Images, openImages } from './images.ts'
import { hostReports, introductions } from './introduce.ts'
import { computeManager } from './manager.ts'
import { type PowerReports, powerReports } from './power.ts'
import { openTransfers } from './transfer.ts'
import { computeService } from './verbs/index.ts'

/** A compute host's parts, the bus that it serves on, and how it dies if it may not go on. */
export type StartDeps = ComputeDeps & {
  readonly bus: Pick<Bus, 'serve' | 'onLink'>
  /** Called if the host must not go on (`HostMismatch` later on). If absent the process dies of the rejection. */
  readonly fatal?: (e: unknown) => void
}

const byeTimeoutMs = 1_000
/** Progress goes out with a heartbeat of its own, at most this often. */
const progressMs = 1_000

/** What this host understands. */
const spoken = { [compute.topic]: compute.version }

/**
 * Starts a compute host: takes up its guests, joins the cloud (waits for a conductor; `HostMismatch` ends it) and goes on
 * with the operations that an earlier life left. The returned function stops it in bounded time; the guests run on.
 */
export async function startCompute(deps: StartDeps): Promise<() => Promise<void>> {
  const { bus, driver, host, log, options } = deps
  await driver.init()
  const images = await openImages(deps)
  const mutex = new KeyedMutex()
  const transfers = openTransfers(deps)
  const tools = { driver, images, transfers, shutdownMs: options.shutdownTimeout * 1000, log }
  const engine = openEngine(deps, computeService(tools), mutex)
  const stopped = new AbortController()
  const power = powerReports(deps, mutex, stopped.signal)
  // Served before the conductor knows the host: what it sends from then on arrives. The engine lets it in after that.
  const serving = await bus.serve([served(compute, computeManager(deps, engine))], {
    server: host,
    slots: options.slots,
    // Nobody asks just any host; and a host's own login may listen on nothing else.
    shared: false,
    pingMs: options.pingSeconds * 1000,
  })
  const introduce = introductions(deps, { images, power, mutex })
  const join = () => hello(deps, engine, { spoken, introduce }, stopped.signal)
  try {
    await join()
  } catch (e) {
    await Promise.all([engine.stop(), serving.stop()])
    await transfers.close()
    await driver.close()
    throw e
  }
  const stopPeriodic = startPeriodic(deps, { serving, engine, images, power, introduce, join })
  log.info({ driver: driver.name }, 'compute host is up')

  return async () => {
    stopped.abort()
    const quiet = Promise.all([serving.stop(), stopPeriodic()])
    await engine.stop()
    // A heartbeat that is still under way must not come after the farewell, but may not hold up the end either.
    await Promise.race([quiet, deps.clock.sleep(byeTimeoutMs)])
    const ctx = serviceContext('compute', deps.ids.requestId())
    const self = { service: deps.service, ...selfOf(deps) }
    const bye = deps.agent.bye(ctx, self, { timeoutMs: byeTimeoutMs })
    await bye.catch((e) => log.info({ why: reason(e) }, 'no conductor for the farewell; leases will lapse'))
    await transfers.close()
    await driver.close()
  }
}

type Parts = {
  serving: Serving
  engine: Engine
  images: Images
  power: PowerReports
  introduce: (ctx: Context) => Promise<void>
  join: () => Promise<void>
}

/** What a compute host does by itself from time to time, and when the bus or a guest changes. */
function startPeriodic(
  deps: StartDeps,
  { serving, engine, images, power, introduce, join }: Parts,
): () => Promise<unknown> {
  const { bus, clock, driver, ids, log, options } = deps
  const report = hostReports(deps)
  const die = deps.fatal ?? ((e: unknown) => void Promise.reject(e))
  let joining = false
  let again = false
  const rejoin = () => {
    again = true
    if (joining) return
    joining = true
    void joinWhileAsked()
      .catch((e) => {
        log.fatal({ err: e }, 'this host may not go on')
        die(e)
      })
      .finally(() => {
        joining = false
      })
  }
  /** What asks for it while it is under way may come after the conductor's answer. */
  const joinWhileAsked = async () => {
    while (again) {
      again = false
      await join()
    }
  }
  const beat = heartbeats(deps, engine, serving, spoken, {
    stranger: (e) => {
      log.error({ why: reason(e) }, 'the conductor refuses the heartbeat; joining again')
      rejoin()
    },
    // What this host still has of it is to be cleaned up.
    lost: rejoin,
  })
  const beatProgress = async () => {
    if (engine.held().some(({ progress }) => progress !== undefined)) await beat()
  }
  let joined = true
  const compare = async () => {
    await report(true)
    // It has just joined when it compares for the first time.
    if (!joined) await introduce(serviceContext(deps.service, ids.requestId()))
    joined = false
    await power.all()
    await images.trim()
  }
  const failed = (what: string) => (e: unknown) => log.warn({ err: e }, `${what} failed`)
  const ends = [
    every(clock, options.heartbeatSeconds * 1000, beat, failed('heartbeat')),
    every(clock, options.heartbeatSeconds * 1000, () => report(false), failed('report')),
    every(clock, Math.min(progressMs, options.heartbeatSeconds * 1000), beatProgress, failed('progress')),
    every(clock, options.reportSeconds * 1000, compare, failed('comparing guests')),
    driver.onPower(({ id }) => void power.changed(id)),
    bus.onLink((up) => {
      if (up) rejoin()
    }),
  ]
  return () => Promise.all(ends.map((end) => end()))
}
