import { fail } from '../../base/errors.ts'
import type { agent } from '../../contracts/agent.ts'
import type { Context } from '../../model/context.ts'
import { kindOf } from '../../model/operation.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { findOperation, type OperationRecord } from '../../store/operations.ts'
import { type Owner, recordStep } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { announceStep, withStep } from './claim.ts'

/**
 * Records that an operation has come to a step, before the step is taken, and renews the lease. `OperationCancelled` where
 * somebody wants it ended; `OperationLost` where it is not this host's any more.
 */
export async function step(
  deps: ConductorDeps,
  _ctx: Context,
  { host, incarnation, operation: id, step }: Args<typeof agent, 'step'>,
): Promise<Result<typeof agent, 'step'>> {
  const { db, clock, options } = deps
  const owner = { host, incarnation }
  const operation = hold(id, await findOperation(db, id), owner)
  const { kind, attempt } = operation
  if (!kindOf(kind).steps.includes(step)) fail('InvalidRequest', { what: `A ${kind} has no step "${step}".` })
  const now = clock.now()
  const leaseUntil = now + options.leaseSeconds * 1000
  const steps = withStep(operation.steps, { name: step, at: now, attempt, host })
  if (!(await recordStep(db, id, owner, { step, steps, leaseUntil }))) {
    // Between our look and our write something happened to it: that is what the host must hear.
    hold(id, await findOperation(db, id), owner)
    fail('OperationLost', { id, why: 'it was changed at the same moment' })
  }
  const instance = { id: operation.instanceId, name: operation.instanceName }
  if (steps.length > operation.steps.length)
    announceStep(deps, { ...operation, instance }, { step, attempt, host, now })
  return { leaseUntil }
}

/** The operation, if it is the owner's to go on with. */
function hold(id: string, operation: OperationRecord | undefined, { host, incarnation }: Owner): OperationRecord {
  if (!operation) return fail('OperationLost', { id, why: 'there is no such operation' })
  if (operation.state !== 'running') return fail('OperationLost', { id, why: `it has ${operation.state}` })
  if (operation.host !== host || operation.incarnation !== incarnation)
    return fail('OperationLost', { id, why: `${operation.host} has it now` })
  if (operation.cancelRequested)
    return fail('OperationCancelled', { id, ...(operation.step === undefined ? {} : { step: operation.step }) })
  return operation
}
