import { isFailure, reason } from '../base/errors.ts'
import type { scheduler } from '../contracts/scheduler.ts'
import type { Decision } from '../contracts/shapes.ts'
import type { Context } from '../model/context.ts'
import { announce } from '../operations/change.ts'
import { faultOf } from '../operations/faults.ts'
import { lockOpen } from '../operations/open.ts'
import { full, placeOn } from '../operations/place.ts'
import { changeOperations } from '../operations/transaction.ts'
import { failOperation, unplace } from '../operations/undo.ts'
import type { Args } from '../rpc/contract.ts'
import { hearsTooShort } from '../service/hearing.ts'
import { saveDecision } from '../store/decisions.ts'
import { type Placement, placementFor } from '../store/placement.ts'
import { conductorUpSince } from '../store/services.ts'
import { decisionOf } from './decision.ts'
import type { SchedulerDeps } from './deps.ts'
import type { Fleet } from './fleet.ts'
import type { Rules } from './options.ts'
import { type HostState, questionOf } from './question.ts'
import { type Refused, type Selection, survey } from './select.ts'

/** What placing leans on beyond the scheduler itself. */
export type PlaceDeps = SchedulerDeps & { readonly fleet: Fleet; readonly rules: Rules }

/** How many hosts are tried on what one read said of them, before they are read again. */
const offersPerRound = 20
/** How often the hosts are read again for one placement; only schedulers that race for the last slots need more than one. */
const rounds = 10

/**
 * Finds a host for the instance of an operation, claims room there, keeps the decision and tells the host. A duplicate is
 * a no-op. Where every host that could take it is silent on the bus, or all was taken from under us time and again, the
 * operation stays queued, and the conductor's sweeper sends it here once more.
 */
export async function place(
  deps: PlaceDeps,
  ctx: Context,
  { operation }: Args<typeof scheduler, 'place'>,
): Promise<void> {
  const log = deps.log.child({ operation, requestId: ctx.requestId })
  const placement = await placementFor(deps.db, operation)
  if (!placement) return log.debug('nothing to place: a duplicate, or it is over')
  const silent = new Map<string, Refused>()
  for (let round = 0; round < rounds; round++) {
    const question = await questionOf(deps, placement.spec)
    const selection = survey(question, await deps.fleet.look(), deps.rules, () => deps.ids.random())
    const { candidates } = selection
    if (candidates.length === 0) {
      if (!(await tooEarlyToSay(deps, selection))) return refuse({ ...deps, log }, placement, selection)
      log.warn('hosts count as down, but no conductor could hear them until just now: stays queued')
      return keepForLater(deps, placement, selection, silent)
    }
    if (candidates.every(({ host }) => silent.has(host.name))) {
      log.warn({ hosts: [...silent.keys()] }, 'all hosts that could take it are silent on the bus: stays queued')
      return keepForLater(deps, placement, selection, silent)
    }
    if (await offerInTurn({ ...deps, log }, ctx, placement, selection, silent)) return
  }
  log.warn({ rounds }, 'every host was taken from under this placement: stays queued')
}

/** Offers the instance to the candidates, the best first. False: all are full or silent, and others must be looked for. */
async function offerInTurn(
  deps: PlaceDeps,
  ctx: Context,
  placement: Placement,
  selection: Selection,
  silent: Map<string, Refused>,
): Promise<boolean> {
  const late = new Map(silent)
  const open = selection.candidates.filter(({ host }) => !silent.has(host.name))
  for (const { host } of open.slice(0, offersPerRound)) {
    const decision = decisionOf(selection, deps.rules, host.name, [...late.values()])
    const outcome = await offer(deps, ctx, placement, host, decision)
    if (outcome === 'taken' || outcome === 'gone') return true
    late.set(host.name, lateRefusals[outcome](host.name))
    if (outcome === 'silent') silent.set(host.name, lateRefusals.silent(host.name))
  }
  return false
}

/** Why a host that passed every filter did not do in the end. */
const lateRefusals = {
  full: (host: string): Refused => ({
    host,
    filter: 'claim',
    reason: 'was filled by others meanwhile',
    group: 'filled by others meanwhile',
  }),
  silent: (host: string): Refused => ({
    host,
    filter: 'bus',
    reason: 'unreachable: up by its last report, but no consumer on the bus',
    group: 'unreachable on the bus',
  }),
}

/**
 * Claims room on one host and tells it. `full` and `silent`: nothing is left of it there; `gone`: there is nothing to place
 * any more.
 */
async function offer(
  deps: PlaceDeps,
  ctx: Context,
  placement: Placement,
  host: HostState,
  decision: Decision,
): Promise<'taken' | 'gone' | 'full' | 'silent'> {
  const { fleet, log } = deps
  const { operationId } = placement
  const { size } = placement.spec
  const reservation = fleet.reserve(host.name, size)
  try {
    const placing = { operation: operationId, host: host.name, size, limits: host.limit, decision }
    if ((await changeOperations(deps, (t) => placeOn(t, placing))) === 'gone') return 'gone'
    fleet.commit(reservation)
  } catch (e) {
    if (e === full) return 'full'
    throw e
  } finally {
    if (!reservation.committed) fleet.cancel(reservation)
  }
  try {
    await deps.computeOn(host.name).run(ctx, { operation: operationId })
    log.info({ host: host.name }, 'placed')
    announcePlaced(deps, placement, host.name)
    return 'taken'
  } catch (e) {
    if (!isFailure(e, 'HostUnreachable')) {
      // It may have been told; the conductor's sweeper tells it again.
      log.warn({ host: host.name, err: e }, `placed, but telling the host failed: ${reason(e)}`)
      return 'taken'
    }
  }
  const given = await changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, operationId)
    return operation !== undefined && (await unplace(t, operation, host.name))
  })
  if (!given) return 'gone'
  fleet.cancel(reservation)
  log.warn({ host: host.name }, 'up by its last report, but without a consumer on the bus: another is tried')
  return 'silent'
}

/**
 * Whether a host may be counted as down, or as degraded, only because all conductors, the bus or the database were away: who
 * keeps the hosts' last words has not heard them for as long as a host may be silent.
 */
async function tooEarlyToSay({ db, clock, hearing, options }: PlaceDeps, { refused }: Selection): Promise<boolean> {
  if (!refused.some(({ group }) => group === 'down' || group === 'degraded')) return false
  const alive = { now: clock.now(), downMs: options.serviceDownTime * 1000 }
  if (hearsTooShort(hearing, alive)) return true
  const since = await conductorUpSince(db, alive)
  return since !== undefined && since > alive.now - alive.downMs
}

/** Ends the operation: no host can take its instance. */
async function refuse(deps: PlaceDeps, placement: Placement, selection: Selection): Promise<void> {
  const { rules } = deps
  const { operationId, instanceId, instanceName } = placement
  const decision = decisionOf(selection, rules, undefined)
  const reason = `${decision.summary}${lastFault(placement)}`
  await changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, operationId)
    // Placed, cancelled or deleted meanwhile.
    if (!operation?.legs.some(({ service, state }) => service === 'scheduler' && state === 'queued')) return
    const step = { name: 'place', at: t.now, attempt: Math.max(operation.attempt, 1) }
    operation.steps = [...operation.steps, step]
    await saveDecision(t.db, { operationId, instanceId, decision })
    await failOperation(t, operation, faultOf('NoValidHost', { reason, instance: instanceName }, t.now), {
      attempts: 1,
    })
  })
  deps.log.info({ summary: decision.summary }, 'no valid host')
}

/** Tells those who follow the operation where its instance goes. */
function announcePlaced(deps: PlaceDeps, placement: Placement, host: string): void {
  const { instanceId, instanceName, operationId, projectId, requestId, kind, faults } = placement
  announce(deps, {
    id: 0,
    at: deps.clock.now(),
    type: 'operation.step',
    instanceId,
    instanceName,
    operationId,
    host,
    requestId,
    projectId,
    operation: { kind, state: 'queued', step: 'place', attempt: faults.length },
  })
}

/** What was tried elsewhere already failed for that reason rather than for want of a host. */
function lastFault({ spec, faults }: Placement): string {
  const fault = faults.at(-1)
  return fault ? `; on ${fault.host ?? spec.excluded.at(-1)} it failed: ${fault.message}` : ''
}

/** Keeps what was found out, for people who wonder why it waits; the operation stays queued. */
const keepForLater = (
  { db, rules }: PlaceDeps,
  { operationId, instanceId }: Placement,
  selection: Selection,
  silent: ReadonlyMap<string, Refused>,
): Promise<void> =>
  saveDecision(db, { operationId, instanceId, decision: decisionOf(selection, rules, undefined, [...silent.values()]) })
