import { every } from '../base/clock.ts'
import { reason } from '../base/errors.ts'
import { agent } from '../contracts/agent.ts'
import { computeAgent } from '../contracts/compute-agent.ts'
import { conductor } from '../contracts/conductor.ts'
import type { Serving } from '../rpc/bus.ts'
import { startHeartbeat } from '../service/heartbeat.ts'
import { capacityDrift } from '../store/allocations.ts'
import { pruneEvents } from '../store/events.ts'
import { pruneHistory } from '../store/history.ts'
import { acquireLease, releaseLease } from '../store/leases.ts'
import { forgetKeys, pruneOperations } from '../store/operations.ts'
import { expireImages } from './actions/images.ts'
import { ensureDefaults, ensureFirstProject } from './defaults.ts'
import type { ConductorDeps } from './deps.ts'
import { removeStaleUploads } from './files.ts'
import { keyMs } from './operations/idempotency.ts'
import { sweep, sweepBatch } from './operations/sweep.ts'

const spoken = {
  conductor: conductor.version,
  agent: agent.version,
  compute_agent: computeAgent.version,
}
const upkeepMs = 60_000
const upkeepLease = 'upkeep'
/** So long after a conductor has died another takes over; a round that takes longer may overlap, which does no harm. */
const upkeepLeaseMs = 3 * upkeepMs
/** Rows that one round of upkeep removes from a table at most. */
const pruneBatch = 500
/** Rounds at once: a table that has grown far beyond its limit is brought back within minutes, without long locks. */
const pruneRounds = 10
const dayMs = 86_400_000

/**
 * Starts what a conductor does by itself: its heartbeat, the sweep over open operations, and the upkeep of the tables.
 * The first heartbeat is written, and an empty cloud has its flavors, when this returns. The returned function stops it.
 */
export async function startPeriodic(
  deps: ConductorDeps,
  serving: Pick<Serving, 'lastPongAt'>,
): Promise<() => Promise<void>> {
  const { db, clock, log, options, incarnation } = deps
  await ensureDefaults(deps)
  await ensureFirstProject(deps)
  const stopHeartbeat = await startHeartbeat(deps, { binary: 'conductor', contracts: spoken }, serving)
  const complain = (what: string) => (e: unknown) => log.error({ err: e }, `${what} failed: ${reason(e)}`)
  const stops = [
    every(clock, options.sweepSeconds * 1000, () => sweepAll(deps), complain('sweep')),
    every(clock, upkeepMs, () => upkeep(deps), complain('upkeep')),
  ]
  return async () => {
    await Promise.all(stops.map((stop) => stop()))
    await releaseLease(db, upkeepLease, incarnation).catch(complain('the release of the upkeep'))
    await stopHeartbeat()
  }
}

/** After a great failure there is more than one round's work: goes on until a round finds less. */
async function sweepAll(deps: ConductorDeps): Promise<void> {
  for (let round = 0; round < 5 && (await sweep(deps)) >= sweepBatch; round++);
}

/**
 * Keeps the tables at their size, and compares counters with what they count. Of several conductors one does this for
 * all, until it stops or its lease lapses.
 */
export async function upkeep(deps: ConductorDeps): Promise<void> {
  const { db, clock, log, imageDir, options, incarnation } = deps
  const now = clock.now()
  if (!(await acquireLease(db, upkeepLease, incarnation, now + upkeepLeaseMs, now))) return
  await removeStaleUploads(imageDir, now - dayMs)
  await pruneEvents(db, options.eventsMax, pruneBatch)
  for (const prune of [
    () => pruneHistory(db, now - options.historyDays * dayMs, pruneBatch),
    () => pruneOperations(db, now - options.operationsDays * dayMs, pruneBatch),
  ])
    for (let round = 0; round < pruneRounds && (await prune()) >= pruneBatch; round++);
  await forgetKeys(db, now - keyMs)
  await expireImages(deps, now - dayMs)
  for (const drift of await capacityDrift(db))
    log.error(drift, `bug: the counters of host ${drift.host} are not the sums over its allocations`)
}
