import { mapConcurrent } from '../../base/concurrency.ts'
import { isFailure, reason } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { kindOf, stagesOf } from '../../model/operation.ts'
import { leaveLast } from '../../operations/advance.ts'
import { dispatch, dispatchAll } from '../../operations/dispatch.ts'
import { faultOf } from '../../operations/faults.ts'
import { type Dispatch, livenessOf, lockOpen, type OpenOperation, type Transaction } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import { failOperation, leaveSilent, unplace } from '../../operations/undo.ts'
import { hearsTooShort } from '../../service/hearing.ts'
import { type DueLeg, dueLegs, recordDispatch } from '../../store/due-legs.ts'
import { stepsOf } from '../../store/operation-record.ts'
import { expiredOperations } from '../../store/operations.ts'
import { isServiceUp } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/** Legs, and operations past their deadline, that one round looks at; what is left is the next round's. */
export const sweepBatch = 200
/** How many of one round are worked on at once. */
const atOnce = 20

/**
 * Sees that every operation ends: sends the message again of legs that nobody has claimed, or whose owner has let go, and
 * fails operations past their deadline. Every conductor does this; each action is a compare-and-set, so that only one of them
 * does it. Answers with how many needed something.
 */
export async function sweep(deps: ConductorDeps): Promise<number> {
  const now = deps.clock.now()
  const expired = await expiredOperations(deps.db, now, sweepBatch)
  const due = await dueLegs(deps.db, { now, resendMs: deps.options.resendSeconds * 1000, limit: sweepBatch })
  const over = new Set(expired)
  const work = [
    ...expired.map((id) => ({ id, run: () => expire(deps, id) })),
    ...due
      .filter((leg) => !over.has(leg.operation))
      .map((leg) => ({ id: leg.operation, run: () => resend(deps, leg) })),
  ]
  await mapConcurrent(work, atOnce, ({ id, run }) =>
    run().catch((e) => {
      if (isFailure(e, 'DatabaseDown')) throw e
      deps.log.error({ operation: id, err: e }, `sweeping it failed: ${reason(e)}`)
    }),
  )
  return work.length
}

async function resend(deps: ConductorDeps, leg: DueLeg): Promise<void> {
  const now = deps.clock.now()
  const { operation, service, host, kind, state } = leg
  const message: Dispatch = { operation, service, host }
  if (!(await recordDispatch(deps.db, message, leg.dispatchedAt, now))) return
  if (host !== '' && (await goneOn(deps, leg))) return
  deps.log.info({ ...message, kind, state }, 'dispatch repeated')
  try {
    await dispatch(deps, contextOf(leg), message)
  } catch (e) {
    // However silent its host is, an operation that was accepted waits for it until the deadline.
    deps.log.info({ ...message, why: reason(e) }, 'dispatch failed')
  }
}

/**
 * The host of a leg is down. What was placed there and not taken up goes to another host: nothing of it is there yet. What is
 * all but done does not wait for the host, which cleans up when it returns. What is on its way there is undone: its guest
 * is needed where it was. Any other leg waits: false; so do all while this conductor has not heard hosts for long enough.
 */
async function goneOn(deps: ConductorDeps, leg: DueLeg): Promise<boolean> {
  const { operation: id, host } = leg
  const liveness = { now: deps.clock.now(), downMs: deps.options.serviceDownTime * 1000 }
  if (hearsTooShort(deps.hearing, liveness) || (await isServiceUp(deps.db, leg.service, host, liveness))) return false
  const dispatches = await changeOperations(deps, async (t): Promise<Dispatch[] | undefined> => {
    const operation = await lockOpen(t.db, id)
    if (!operation || operation.undoing) return undefined
    if (stagesOf(operation.kind)[operation.stage]?.final) return leaveLast(t, operation, host)
    if (await unplace(t, operation, host)) return [{ operation: id, service: 'scheduler', host: '' }]
    if (!(await isOnItsWayTo(t, operation, host))) return undefined
    const fault = faultOf('HostDown', { host, seconds: deps.options.serviceDownTime }, t.now, host)
    return (await failOperation(t, operation, fault, { attempts: deps.options.maxAttempts })).dispatches
  })
  if (!dispatches) return false
  deps.log.warn({ operation: id, host }, 'its host is down; the operation goes on without it')
  await dispatchAll(deps, contextOf(leg), dispatches)
  return true
}

/**
 * Whether this host is to take over what another host has, and has nothing yet that could run. Not while the other host is
 * silent, too: then both may only have been unable to reach a conductor.
 */
async function isOnItsWayTo(
  t: Transaction,
  { kind, stage, legs, instance }: OpenOperation,
  host: string,
): Promise<boolean> {
  const steps = stagesOf(kind)[stage]?.legs.flatMap((leg) => leg.steps) ?? []
  if (steps.some(({ fence }) => fence) || !legs.some((leg) => leg.host === host && leg.role === 'target')) return false
  const source = instance?.host
  return source !== undefined && source !== host && isServiceUp(t.db, 'compute', source, livenessOf(t))
}

/** Whoever asked for it, under the request id of then. */
const contextOf = ({ requestId, userId, projectId }: Pick<DueLeg, 'requestId' | 'userId' | 'projectId'>): Context => ({
  requestId,
  userId,
  projectId,
  roles: [],
  isAdmin: false,
})

/** Fails an operation whose time is over, with the step that it had reached; what was done is undone. */
async function expire(deps: ConductorDeps, id: string): Promise<void> {
  const attempts = deps.options.maxAttempts
  const ended = await changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, id)
    if (!operation || operation.deadline >= t.now) return undefined
    // The time for undoing is over, too.
    if (operation.undoing) return { operation, dispatches: await leaveSilent(t, operation, attempts) }
    const fault = tooLate(t, operation)
    deps.log.warn({ operation: id, kind: operation.kind, step: fault.params.step }, fault.fault.message)
    return { operation, ...(await failOperation(t, operation, fault.fault, { attempts })) }
  })
  if (ended) await dispatchAll(deps, contextOf(ended.operation), ended.dispatches)
}

function tooLate(t: Transaction, operation: OpenOperation) {
  const { id, kind, legs, createdAt, deadline } = operation
  const last = stepsOf(operation, legs).at(-1)
  const lead = legs.find(({ state }) => state !== 'idle')
  const why = lastWord(operation, lead?.host)
  const params = {
    id,
    kind,
    step: lead?.step ?? last?.name ?? 'none',
    seconds: Math.round((deadline - createdAt) / 1000),
    ...(why === undefined ? {} : { last: why }),
  }
  return { params, fault: faultOf('DeadlinePassed', params, t.now, lead?.host || operation.host) }
}

/** What is known of why it took so long. */
function lastWord({ kind, placing }: OpenOperation, host: string | undefined): string | undefined {
  const fault = placing?.faults.at(-1)
  if (fault) return fault.message
  if (host === '') return 'no scheduler has placed it'
  return host !== undefined && kindOf(kind).unreachable === 'wait' ? `host ${host} did not come back` : undefined
}
