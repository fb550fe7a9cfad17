import { every } from '../base/clock.ts'
import { scheduler } from '../contracts/scheduler.ts'
import { silentFor } from '../model/health.ts'
import type { Serving } from '../rpc/bus.ts'
import { dismissService, serviceHeartbeat, spokenByServices } from '../store/services.ts'
import type { SchedulerDeps } from './deps.ts'

type PeriodicDeps = Pick<
  SchedulerDeps,
  'db' | 'clock' | 'log' | 'version' | 'hostName' | 'incarnation' | 'options' | 'speakers'
>

const spoken = { scheduler: scheduler.version }

/**
 * Reports this scheduler as alive, for the first time before it returns. The answer ends that: the service is down from
 * then on.
 */
export async function startPeriodic(
  deps: PeriodicDeps,
  serving: Pick<Serving, 'lastPongAt'>,
): Promise<() => Promise<void>> {
  const { db, clock, log, version, hostName, incarnation, options, speakers } = deps
  const life = { binary: 'scheduler', host: hostName, version, incarnation }
  const alive = () => ({ now: clock.now(), downMs: options.serviceDownTime * 1000 })
  const beat = async () => {
    const now = clock.now()
    const reported = { silentMs: silentFor(serving.lastPongAt, now), contracts: spoken }
    await serviceHeartbeat(db, { ...life, reported }, now)
    speakers.learn(await spokenByServices(db, alive()))
  }
  await beat()
  const stop = every(clock, options.heartbeatSeconds * 1000, beat, (e) => log.warn({ err: e }, 'heartbeat failed'))
  return async () => {
    await stop()
    await dismissService(db, life, alive())
  }
}
