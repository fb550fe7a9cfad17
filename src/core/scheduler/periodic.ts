import { every } from '../base/clock.ts'
import { dismissService, serviceHeartbeat } from '../store/services.ts'
import type { SchedulerDeps } from './deps.ts'

type PeriodicDeps = Pick<SchedulerDeps, 'db' | 'clock' | 'log' | 'version' | 'hostName' | 'incarnation' | 'options'>

/**
 * Reports this scheduler as alive, for the first time before it returns. The answer ends that: the service is down from
 * then on.
 */
export async function startPeriodic(deps: PeriodicDeps): Promise<() => Promise<void>> {
  const { db, clock, log, version, hostName, incarnation, options } = deps
  const life = { binary: 'scheduler', host: hostName, version, incarnation }
  const beat = () => serviceHeartbeat(db, life, clock.now())
  await beat()
  const stop = every(clock, options.heartbeatSeconds * 1000, beat, (e) => log.warn({ err: e }, 'heartbeat failed'))
  return async () => {
    await stop()
    await dismissService(db, life, { now: clock.now(), downMs: options.serviceDownSeconds * 1000 })
  }
}
