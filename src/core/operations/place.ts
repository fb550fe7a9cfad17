import { assert } from '../base/errors.ts'
import type { Decision } from '../contracts/shapes.ts'
import type { Size } from '../model/instance.ts'
import { placedBy, placeFilled, serviceOf, stagesOf } from '../model/operation.ts'
import { type AllocationRole, allocate } from '../store/allocations.ts'
import { saveDecision } from '../store/decisions.ts'
import { settleInstance } from '../store/instances.ts'
import { placeLeg } from '../store/legs.ts'
import { changeOperation } from '../store/operations.ts'
import { lockOpen, type Transaction } from './open.ts'

/** Thrown inside a transaction to take back what it has done so far. */
export const full = Symbol('full')

/**
 * Takes room on a host for the instance of an operation that waits for a scheduler, and hands the operation over to that
 * host. `gone` if the operation no longer waits for a scheduler; throws {@link full} if what is left of `limits` is too
 * little by now, so that the transaction is taken back. `limits` is what the host may promise in all.
 */
export async function placeOn(
  t: Transaction,
  placing: { operation: string; host: string; size: Size; limits: Size; decision?: Decision | undefined },
): Promise<'placed' | 'gone'> {
  const { db, now } = t
  const { host, size, limits, decision } = placing
  const operation = await lockOpen(db, placing.operation)
  const waits = operation?.legs.some(({ service, state }) => service === 'scheduler' && state === 'queued')
  if (!operation?.instance || !waits || operation.undoing) return 'gone'
  const { instance, kind } = operation
  const stage = (placedBy(kind) ?? 0) + 1
  const next = stagesOf(kind)[stage]?.legs[0]
  assert(next, `a ${kind} has a leg behind its placement`)
  const role: AllocationRole = placeFilled(kind) === 'host' ? 'current' : 'target'
  if (!(await allocate(db, { instanceId: instance.id, host, role, size }, limits, now))) throw full
  const step = { name: 'place', at: now, attempt: operation.attempt + 1, host }
  const leg = { service: serviceOf(next.at), host, role: next.at, step, now }
  if (!(await placeLeg(db, operation.id, leg))) return 'gone'
  await changeOperation(db, operation.id, { state: 'running', stage, host })
  if (role === 'current') await settleInstance(db, instance.id, { host }, now)
  if (decision) await saveDecision(db, { operationId: operation.id, instanceId: instance.id, decision })
  return 'placed'
}
