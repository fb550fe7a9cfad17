import { type Clock, every } from '../base/clock.ts'
import { reason } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Db } from '../db/handle.ts'
import { silentFor } from '../model/health.ts'
import type { Serving } from '../rpc/bus.ts'
import type { Speakers } from '../rpc/speakers.ts'
import { dismissService, type Liveness, serviceHeartbeat, spokenByServices } from '../store/services.ts'
import type { Hearing } from './hearing.ts'

/** What the heartbeat of a service depends on. */
export type HeartbeatDeps = {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** The host that this daemon runs on, and one life of it. */
  readonly hostName: string
  readonly incarnation: string
  /** Which versions of the contracts the other daemons speak; learned again with each heartbeat. */
  readonly speakers: Speakers
  readonly hearing: Pick<Hearing, 'beat'>
  readonly options: { readonly heartbeatSeconds: number; readonly serviceDownTime: number }
}

/**
 * Keeps the row of a service that has the database, such as `conductor`, fresh. `contracts` are the versions that it
 * speaks, by topic. The first heartbeat is written when this returns. The returned function stops the heartbeat: the
 * service is down from then on.
 */
export async function startHeartbeat(
  deps: HeartbeatDeps,
  { binary, contracts }: { binary: string; contracts: Readonly<Record<string, string>> },
  serving: Pick<Serving, 'lastPongAt'>,
): Promise<() => Promise<void>> {
  const { db, clock, log, version, hostName: host, incarnation, speakers, hearing, options } = deps
  const alive = (): Liveness => ({ now: clock.now(), downMs: options.serviceDownTime * 1000 })
  const beat = async (): Promise<void> => {
    const now = clock.now()
    const reported = { silentMs: silentFor(serving.lastPongAt, now), contracts }
    await serviceHeartbeat(db, { binary, host, version, incarnation, reported }, now)
    speakers.recordAll(await spokenByServices(db, alive()))
    hearing.beat()
  }
  await beat()
  const complain = (what: string) => (e: unknown) => log.error({ err: e }, `${what} failed: ${reason(e)}`)
  const stop = every(clock, options.heartbeatSeconds * 1000, beat, complain('heartbeat'))
  return async () => {
    await stop()
    // A database that is away must not keep the daemon from stopping: the service counts as down soon in any case.
    await dismissService(db, { binary, host, incarnation }, alive()).catch(complain('goodbye'))
  }
}
