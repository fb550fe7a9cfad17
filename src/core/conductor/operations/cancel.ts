import { fail } from '../../base/errors.ts'
import type { OperationSummary } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { isOpen, stagesOf } from '../../model/operation.ts'
import { about, announce } from '../../operations/change.ts'
import { dispatchAll } from '../../operations/dispatch.ts'
import { faultOf } from '../../operations/faults.ts'
import { lockOpen, type OpenOperation, type Transaction } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import { failOperation } from '../../operations/undo.ts'
import { legsOfOperation } from '../../store/legs.ts'
import { summaryOfOperation } from '../../store/operation-record.ts'
import { changeOperation } from '../../store/operations.ts'
import { visibleOperation } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'

/**
 * Ends an operation before its time, and has undone what was done: at once if nobody carries it out at the moment, else at
 * the next step of its executor. `OperationNotOpen` if it is over; `InvalidRequest` if there is no way back.
 */
export async function cancel(deps: ConductorDeps, ctx: Context, id: string): Promise<OperationSummary> {
  const { state } = await visibleOperation(deps, ctx, id)
  if (!isOpen(state)) fail('OperationNotOpen', { id, state, verb: 'cancel' })
  const dispatches = await changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, id)
    return operation && !operation.undoing ? cancelNow(deps, t, operation) : []
  })
  await dispatchAll(deps, ctx, dispatches)
  const [operation, legs] = await Promise.all([visibleOperation(deps, ctx, id), legsOfOperation(deps.db, id)])
  return summaryOfOperation(operation, legs)
}

async function cancelNow(deps: ConductorDeps, t: Transaction, operation: OpenOperation) {
  const { id, kind, stage, legs } = operation
  if (stagesOf(kind)[stage]?.final)
    fail('InvalidRequest', {
      what: `Operation ${id} cannot be cancelled any more: all but its last step is done.`,
      hint: `Wait for it: nova operation follow ${id}`,
    })
  const running = legs.find(({ state }) => state === 'running')
  if (!running) {
    const step = legs.flatMap((leg) => leg.steps).at(-1)?.name
    const fault = faultOf('OperationCancelled', { id, ...(step === undefined ? {} : { step }) }, t.now)
    return (await failOperation(t, operation, fault, { attempts: deps.options.maxAttempts })).dispatches
  }
  await changeOperation(t.db, id, { cancelRequested: true })
  const { attempt, step, host } = running
  // Whoever carries it out hears at the next step or heartbeat; this is for those who watch.
  announce(deps, {
    id: 0,
    ...about(operation, t.now),
    type: 'operation.cancel',
    host,
    operation: { kind, state: operation.state, attempt, ...(step === undefined ? {} : { step }) },
  })
  return []
}
