import { fail } from '../../base/errors.ts'
import type { OperationSummary } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { isOpen } from '../../model/operation.ts'
import { findOperation, type OperationRecord, toOperationSummaryOf } from '../../store/operations.ts'
import { requestCancel } from '../../store/transitions.ts'
import { scopeOf } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'
import { about, announce, change } from './change.ts'
import { endOperation } from './end.ts'
import { faultOf } from './faults.ts'

/** The operation, if it is the caller's to see. `OperationNotFound`. */
export async function visibleOperation(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  id: string,
): Promise<OperationRecord> {
  const operation = await findOperation(db, id)
  const { projectId, all } = scopeOf(ctx)
  if (!operation || !(all || operation.projectId === projectId)) return fail('OperationNotFound', { id })
  return operation
}

/**
 * Ends an operation before its time: one that waits at once; one that runs at its next step, where its host hears of it.
 * `OperationNotOpen` where it is over.
 */
export async function cancel(deps: ConductorDeps, ctx: Context, id: string): Promise<OperationSummary> {
  // It may be claimed, or be placed, between our look and our write: then it is looked at again.
  for (;;) {
    const operation = await visibleOperation(deps, ctx, id)
    if (!isOpen(operation.state)) fail('OperationNotOpen', { id, state: operation.state, verb: 'cancel' })
    const done = operation.state === 'queued' ? await cancelQueued(deps, operation) : await askOwner(deps, operation)
    if (done) return toOperationSummaryOf(await visibleOperation(deps, ctx, id))
  }
}

async function cancelQueued(deps: ConductorDeps, operation: OperationRecord): Promise<boolean> {
  const { id, step } = operation
  const now = deps.clock.now()
  const fault = faultOf('OperationCancelled', { id, ...(step === undefined ? {} : { step }) }, now)
  return change(deps, (db, note) =>
    endOperation(db, note, operation, { outcome: { state: 'cancelled', fault }, by: 'queued', now }),
  )
}

async function askOwner(deps: ConductorDeps, operation: OperationRecord): Promise<boolean> {
  const { id, kind, state, attempt, step, host } = operation
  if (!(await requestCancel(deps.db, id))) return false
  announce(deps, {
    id: 0,
    ...about(operation, deps.clock.now()),
    type: 'operation.cancel',
    ...(host === undefined ? {} : { host }),
    operation: { kind, state, attempt, ...(step === undefined ? {} : { step }) },
  })
  return true
}
