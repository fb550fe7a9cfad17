import type { Fault } from '../contracts/shapes.ts'
import { type InstanceState, type PowerState, statusSeen } from '../model/instance.ts'
import { kindOf, placedBy, placeFilled } from '../model/operation.ts'
import { allocationsOf, changeRole } from '../store/allocations.ts'
import { archiveInstance } from '../store/history.ts'
import { settleInstance } from '../store/instances.ts'
import { stepsOf } from '../store/operation-record.ts'
import { closeOperation } from '../store/operations.ts'
import { about, hostOf, ofFault } from './change.ts'
import type { OpenOperation, Transaction } from './open.ts'

/** How an operation ended; `power`, if somebody has just seen the guest. */
export type Outcome =
  | { state: 'succeeded'; power?: PowerState | undefined }
  | { state: 'failed' | 'cancelled'; fault: Fault; power?: PowerState | undefined }

/**
 * The one way in which an operation ends: closes it, brings its subject to rest as the row of its kind says, and emits the
 * event. Part of a transaction that has locked the operation (`lockOpen`). False if it is over already.
 */
export async function endOperation(t: Transaction, operation: OpenOperation, outcome: Outcome): Promise<boolean> {
  const { db, now } = t
  const { state } = outcome
  const fault = outcome.state === 'succeeded' ? undefined : outcome.fault
  const steps = stepsOf(operation, operation.legs)
  const last = steps.at(-1)
  const attempt = Math.max(operation.attempt, ...operation.legs.map((leg) => leg.attempt))
  const host = last?.host ?? operation.host
  const closed = await closeOperation(db, operation.id, { state, fault, now, steps, step: last?.name, host, attempt })
  if (!closed) return false
  operation.state = state
  await leaveTargets(t, operation)
  const { subject, event } = kindOf(operation.kind)
  const status = await settle(t, operation, outcome, last !== undefined)
  t.emit({
    ...about(operation, now),
    ...(operation.instance ? hostOf(operation.instance) : {}),
    type: `${subject}.${event}.${state === 'succeeded' ? 'end' : 'error'}`,
    ...(subject === 'instance' ? {} : { message: operation.subject.name }),
    ...(fault === undefined ? {} : ofFault(fault)),
    operation: {
      kind: operation.kind,
      state,
      attempt,
      ...(last === undefined ? {} : { step: last.name }),
      ...(fault === undefined ? {} : { fault }),
    },
    ...(status === undefined ? {} : { status }),
  })
  return true
}

/** Where the instance was going it does not go any more: what a host has taken in of it is to be cleaned up there. */
async function leaveTargets({ db }: Transaction, { kind, instance }: OpenOperation): Promise<void> {
  if (!instance || placedBy(kind) === undefined || placeFilled(kind) !== 'target') return
  for (const { host, role } of await allocationsOf(db, instance.id))
    if (role === 'target') await changeRole(db, instance.id, host, 'residue')
}

/** Brings the instance to rest; answers with its state, or undefined if it is gone or the subject is none. `begun`: by any executor. */
async function settle(
  { db, now }: Transaction,
  { kind, instance, before }: OpenOperation,
  outcome: Outcome,
  begun: boolean,
): Promise<InstanceState | undefined> {
  if (!instance) return undefined
  const { to, onFailure, first } = kindOf(kind)
  const power = outcome.power ?? instance.power
  if (outcome.state === 'succeeded') {
    if (to === undefined) {
      await archiveInstance(db, instance, now)
      return undefined
    }
    const state = to === 'before' ? (before ?? instance.status) : to
    const launched = first === true && instance.launchedAt === undefined
    await settleInstance(db, instance.id, { state, power, fault: null, launched }, now)
    return state
  }
  const broken = onFailure === 'ERROR' || (onFailure === 'torn' && begun)
  const state = broken ? 'ERROR' : statusSeen(instance.status, power)
  // Who cancels knows why; what failed by itself, or left nothing to run, is to be seen.
  const fault = outcome.state === 'failed' || broken ? { fault: outcome.fault } : {}
  await settleInstance(db, instance.id, { state, power, ...fault }, now)
  return state
}
