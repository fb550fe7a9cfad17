import type { Instance } from '../contracts/shapes.ts'
import { kindOf, stagesOf } from '../model/operation.ts'
import { addLegs } from '../store/legs.ts'
import { addOperations, type NewOperation, queuedRecord } from '../store/operations.ts'
import { openStage } from './advance.ts'
import { about, hostOf } from './change.ts'
import type { Dispatch, Transaction } from './open.ts'

/**
 * Begins operations of one kind: rows, subjects, legs and the event of each, and opens their first stage. Answers with who
 * is to be told after the commit: nobody, if there was nothing to do and the operation is over. A unique violation if a
 * subject has an open operation already, or a key was used. Part of a transaction that has locked the subjects; `instance`
 * is the one that a single operation acts on, if there is one.
 */
export async function beginOperations(
  t: Transaction,
  operations: readonly NewOperation[],
  instance?: Instance,
): Promise<Dispatch[]> {
  const [any] = operations
  if (!any) return []
  await addOperations(t.db, operations)
  const { subject, event } = kindOf(any.kind)
  const emitStart = (operation: NewOperation) =>
    t.emit({
      ...about(operation, t.now),
      type: `${subject}.${event}.start`,
      ...(instance ? hostOf(instance) : {}),
      ...(subject === 'instance' ? {} : { message: operation.subject.name }),
      operation: { kind: operation.kind, state: 'queued', attempt: 0 },
      ...(operation.before === undefined ? {} : { status: operation.before }),
    })
  if (stagesOf(any.kind)[0]?.legs[0]?.at === 'scheduler') {
    for (const operation of operations) emitStart(operation)
    const legs = operations.map(({ id }) => ({ operation: id, service: 'scheduler' as const, host: '' }))
    await addLegs(
      t.db,
      legs.map((leg) => ({ ...leg, role: 'scheduler' })),
      t.now,
    )
    return legs
  }
  const dispatches: Dispatch[] = []
  for (const operation of operations) {
    emitStart(operation)
    dispatches.push(...(await openStage(t, { ...queuedRecord(operation), legs: [], instance }, 0)))
  }
  return dispatches
}
