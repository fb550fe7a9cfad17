import type { Instance } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { isOpen } from '../model/operation.ts'
import { lockSubject } from '../store/instances.ts'
import type { Leg } from '../store/legs.ts'
import type { OperationRecord } from '../store/operation-record.ts'
import { lockOperation } from '../store/operations.ts'
import type { Liveness } from '../store/services.ts'
import type { NewEvent } from './change.ts'

/** A transaction that changes operations: its rows, its events, and its time. */
export type Transaction = {
  readonly db: Db
  readonly emit: (event: NewEvent) => void
  readonly now: number
  /** How long a service may be silent before it counts as down. */
  readonly downMs: number
}

export const livenessOf = ({ now, downMs }: Transaction): Liveness => ({ now, downMs })

/** An open operation, locked with its legs and its instance until the transaction ends. */
export type OpenOperation = OperationRecord & {
  legs: Leg[]
  /** Undefined if the subject is no instance, or if the instance is gone. */
  instance: Instance | undefined
  /** A host that may have a running copy was left behind: nothing before its steps may be undone. */
  fenced?: boolean
}

/** A message that a transaction owes: a leg of an operation waits for this service. */
export type Dispatch = { operation: string; service: Leg['service']; host: string }

/**
 * Locks an operation: its instance first, then its row, then its legs. Every transaction locks in this order, so that none
 * waits for another in a circle. Undefined if there is no such operation, or if it is over.
 */
export async function lockOpen(db: Db, id: string): Promise<OpenOperation | undefined> {
  const instance = await lockSubject(db, id)
  const operation = await lockOperation(db, id)
  return operation && isOpen(operation.state) ? { ...operation, instance } : undefined
}
