import { assert } from '../base/errors.ts'
import type { Role } from '../model/operation.ts'
import { changeRole } from '../store/allocations.ts'
import { settleInstance } from '../store/instances.ts'
import type { OpenOperation, Transaction } from './open.ts'

/** A step that changes rows and nothing else; it is taken in the transaction that records the leg before. */
type ConductorStep = {
  run(t: Transaction, operation: OpenOperation): Promise<void>
  undo?(t: Transaction, operation: OpenOperation): Promise<void>
}

const hostAt = ({ legs, kind }: OpenOperation, role: Role): string => {
  const host = legs.find((leg) => leg.role === role)?.host
  assert(host !== undefined, `a ${kind} has no ${role}`)
  return host
}

/** The instance is on another host from now on; what the one before still has of it is residue. */
async function moveTo(t: Transaction, operation: OpenOperation, to: Role, from: Role, left: 'residue' | 'target') {
  const { instance } = operation
  assert(instance, 'what moves is there')
  const host = hostAt(operation, to)
  await changeRole(t.db, instance.id, hostAt(operation, from), left)
  await changeRole(t.db, instance.id, host, 'current')
  await settleInstance(t.db, instance.id, { host }, t.now)
  instance.host = host
}

/** The conductor's own steps, by name. */
export const conductorSteps: Readonly<Record<string, ConductorStep>> = {
  switch: {
    run: (t, operation) => moveTo(t, operation, 'target', 'source', 'residue'),
    undo: (t, operation) => moveTo(t, operation, 'source', 'target', 'target'),
  },
}
