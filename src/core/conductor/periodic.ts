import { every } from '../base/clock.ts'
import { reason } from '../base/errors.ts'
import { agent } from '../contracts/agent.ts'
import { computeAgent } from '../contracts/compute-agent.ts'
import { conductor } from '../contracts/conductor.ts'
import { silentFor } from '../model/health.ts'
import type { Serving } from '../rpc/bus.ts'
import { capacityDrift } from '../store/allocations.ts'
import { pruneEvents } from '../store/events.ts'
import { pruneHistory } from '../store/history.ts'
import { forgetKeys, pruneOperations } from '../store/operations.ts'
import { dismissService, serviceHeartbeat, spokenByServices } from '../store/services.ts'
import { alive } from './actions/access.ts'
import { ensureDefaults } from './defaults.ts'
import type { ConductorDeps } from './deps.ts'
import { removeStaleUploads } from './files.ts'
import { keyMs } from './operations/idempotency.ts'
import { sweep, sweepBatch } from './operations/sweep.ts'

const binary = 'conductor'
const spoken = {
  conductor: conductor.version,
  agent: agent.version,
  compute_agent: computeAgent.version,
}
const upkeepMs = 60_000
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
  const { db, clock, log, options } = deps
  await ensureDefaults(deps)
  await beat(deps, serving)
  const complain = (what: string) => (e: unknown) => log.error({ err: e }, `${what} failed: ${reason(e)}`)
  const stops = [
    every(clock, options.heartbeatSeconds * 1000, () => beat(deps, serving), complain('heartbeat')),
    every(clock, options.sweepSeconds * 1000, () => sweepAll(deps), complain('sweep')),
    every(clock, upkeepMs, () => upkeep(deps), complain('upkeep')),
  ]
  return async () => {
    await Promise.all(stops.map((stop) => stop()))
    await dismissService(db, { binary, host: deps.hostName, incarnation: deps.incarnation }, alive(deps)).catch(
      complain('goodbye'),
    )
  }
}

async function beat(deps: ConductorDeps, serving: Pick<Serving, 'lastPongAt'>): Promise<void> {
  const { db, clock, hostName: host, version, incarnation, speakers } = deps
  const now = clock.now()
  const reported = { silentMs: silentFor(serving.lastPongAt, now), contracts: spoken }
  await serviceHeartbeat(db, { binary, host, version, incarnation, reported }, now)
  speakers.learn(await spokenByServices(db, alive(deps)))
}

/** After a great failure there is more than one round's work: goes on until a round finds less. */
async function sweepAll(deps: ConductorDeps): Promise<void> {
  for (let round = 0; round < 5 && (await sweep(deps)) >= sweepBatch; round++);
}

/** Keeps the tables at their size, and compares counters with what they count. */
export async function upkeep(deps: ConductorDeps): Promise<void> {
  const { db, clock, log, imageDir, options } = deps
  const now = clock.now()
  for (const prune of [
    () => pruneEvents(db, options.eventsMax, pruneBatch),
    () => pruneHistory(db, now - options.historyDays * dayMs, pruneBatch),
    () => pruneOperations(db, now - options.operationsDays * dayMs, pruneBatch),
  ])
    for (let round = 0; round < pruneRounds && (await prune()) >= pruneBatch; round++);
  await forgetKeys(db, now - keyMs)
  await removeStaleUploads(imageDir, now - dayMs)
  for (const drift of await capacityDrift(db))
    log.error(drift, `bug: the counters of host ${drift.host} are not the sums over its allocations`)
}
