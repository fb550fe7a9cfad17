import { isFailure, reason } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { kindOf, type OperationKind } from '../../model/operation.ts'
import { findOperation } from '../../store/operations.ts'
import { releaseHost } from '../../store/placement.ts'
import { isServiceUp } from '../../store/services.ts'
import { dueOperations, noteDispatch, type Open } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { change } from './change.ts'
import { tell } from './dispatch.ts'
import { endOperation } from './end.ts'
import { faultOf } from './faults.ts'

/** Operations that one round looks at; what is left is the next round's. */
const batch = 200
/** How many messages of one round are under way at once. */
const atOnce = 20

/**
 * Sees that every operation ends: sends the message again of those that nobody has claimed, or whose owner has let go,
 * and fails those that are past their deadline. Every conductor does this; each action is a compare-and-set, so that only
 * one of them does it. Answers with how many operations needed something.
 */
export async function sweep(deps: ConductorDeps): Promise<number> {
  const due = await dueOperations(deps.db, {
    now: deps.clock.now(),
    resendMs: deps.options.resendSeconds * 1000,
    limit: batch,
  })
  for (let start = 0; start < due.length; start += atOnce)
    await Promise.all(
      due.slice(start, start + atOnce).map((operation) =>
        fix(deps, operation).catch((e) => {
          if (isFailure(e, 'DatabaseDown')) throw e
          deps.log.error({ operation: operation.id, err: e }, `sweeping it failed: ${reason(e)}`)
        }),
      ),
    )
  return due.length
}

async function fix(deps: ConductorDeps, operation: Open): Promise<void> {
  const now = deps.clock.now()
  if (operation.deadline < now) return expire(deps, operation.id, now)
  if (!(await noteDispatch(deps.db, operation.id, operation.dispatchedAt, now))) return
  const { id, kind, state, host } = operation
  deps.log.info({ operation: id, kind, state, host }, 'told again')
  try {
    await tell(deps, contextOf(operation), { id, kind, host })
  } catch (e) {
    if (isFailure(e, 'HostUnreachable') && (await placeAnew(deps, operation))) return
    // However silent its host is, an operation that was accepted waits for it until the deadline.
    deps.log.info({ operation: id, host }, `not heard: ${reason(e)}`)
  }
}

/** A boot whose host went down before it took it up: nothing of it is there yet, so any other host will do. */
async function placeAnew(deps: ConductorDeps, operation: Open): Promise<boolean> {
  const { id, kind, state, step, host } = operation
  if (kind !== 'boot' || state !== 'queued' || step !== 'place' || host === undefined) return false
  const now = deps.clock.now()
  if (await isServiceUp(deps.db, 'compute', host, { now, downMs: deps.options.serviceDownTime * 1000 })) return false
  if (!(await releaseHost(deps.db, { operationId: id, host, now }))) return false
  deps.log.warn({ operation: id, host }, 'its host is down: placed anew')
  await tell(deps, contextOf(operation), { id, kind, host: undefined }).catch((e) =>
    deps.log.info({ operation: id }, `not heard: ${reason(e)}`),
  )
  return true
}

/** Whoever asked for it, under the request id of then. */
const contextOf = ({ requestId, userId, projectId }: Open): Context => ({
  requestId,
  userId,
  projectId,
  roles: [],
  isAdmin: false,
})

/** Fails an operation whose time is over, with the step that it had reached. */
async function expire(deps: ConductorDeps, id: string, now: number): Promise<void> {
  const operation = await findOperation(deps.db, id)
  if (!operation || operation.deadline >= now) return
  const { kind, step, host } = operation
  const seconds = Math.round((operation.deadline - operation.createdAt) / 1000)
  const last = lastWord(kind, operation.args, host)
  const params = { id, kind, step: step ?? 'none', seconds, ...(last === undefined ? {} : { last }) }
  const fault = faultOf('DeadlinePassed', params, now, host)
  const ended = await change(deps, (db, note) =>
    endOperation(db, note, operation, { outcome: { state: 'failed', fault }, by: 'anyone', now }),
  )
  if (ended) deps.log.warn({ operation: id, kind, step, host }, fault.message)
}

/** What is known of why it took so long. */
function lastWord(kind: OperationKind, args: unknown, host: string | undefined): string | undefined {
  const { faults } = args as { faults?: Array<{ message: string }> }
  if (faults && faults.length > 0) return faults.at(-1)?.message
  if (host === undefined) return 'no scheduler has placed it'
  return kindOf(kind).unreachable === 'wait' ? `host ${host} did not come back` : undefined
}
