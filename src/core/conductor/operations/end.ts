import type { Fault, Instance } from '../../contracts/shapes.ts'
import type { Db } from '../../db/open.ts'
import { type InstanceState, type PowerState, restingState } from '../../model/instance.ts'
import { kindOf } from '../../model/operation.ts'
import { archiveInstance } from '../../store/history.ts'
import { type InstanceChange, lockInstance, settleInstance } from '../../store/instances.ts'
import { type OperationRecord, openOperation } from '../../store/operations.ts'
import { freeRoom } from '../../store/placement.ts'
import { closeOperation, type Owner } from '../../store/transitions.ts'
import { about, hostOf, type Note } from './change.ts'

/** How an operation ended. */
export type Outcome =
  | { state: 'succeeded'; power: PowerState }
  | { state: 'failed' | 'cancelled'; fault: Fault; power?: PowerState }

/**
 * The one way in which an operation ends: closes it (compare and set; false where it is not open, or not `by`'s), brings
 * its instance to rest as the kind's law says, and notes the event. Part of a transaction.
 */
export async function endOperation(
  db: Db,
  note: (event: Note) => void,
  seen: OperationRecord,
  { outcome, by, now }: { outcome: Outcome; by: Owner | 'queued' | 'anyone'; now: number },
): Promise<boolean> {
  const instance = await lockInstance(db, seen.instanceId)
  // Its owner knows what it owns; everybody else looks again, now that nobody can change it.
  const operation = typeof by === 'object' ? seen : await openOperation(db, seen.instanceId, { lock: true })
  if (operation?.id !== seen.id) return false
  const { state } = outcome
  const fault = outcome.state === 'succeeded' ? undefined : outcome.fault
  if (!(await closeOperation(db, operation.id, { state, fault, now, by }))) return false
  const law = kindOf(operation.kind)
  const status = instance && (await settle(db, operation, instance, outcome, now))
  note({
    ...about(operation, now),
    ...(instance ? hostOf(instance) : {}),
    type: `instance.${law.event}.${state === 'succeeded' ? 'end' : 'error'}`,
    ...(fault === undefined ? {} : { message: fault.message }),
    operation: {
      kind: operation.kind,
      state,
      attempt: operation.attempt,
      ...(operation.step === undefined ? {} : { step: operation.step }),
      ...(fault === undefined ? {} : { fault }),
    },
    ...(status === undefined ? {} : { status }),
  })
  return true
}

/** Brings the instance to rest; answers with its state, or undefined where it is gone. */
async function settle(
  db: Db,
  operation: OperationRecord,
  instance: Instance,
  outcome: Outcome,
  now: number,
): Promise<InstanceState | undefined> {
  const { to } = kindOf(operation.kind)
  if (outcome.state === 'succeeded') {
    if (to === undefined) {
      await archiveInstance(db, instance, now)
      return undefined
    }
    const launched = operation.kind === 'boot' && instance.launchedAt === undefined
    await settleInstance(db, instance.id, { state: to, power: outcome.power, fault: null, launched }, now)
    return to
  }
  const { fault, power } = outcome
  const rest: InstanceChange = { power, ...(outcome.state === 'failed' || operation.kind === 'boot' ? { fault } : {}) }
  const state = operation.kind === 'boot' ? 'ERROR' : power && stateSeen(instance.status, power)
  if (state !== undefined) rest.state = state
  // Placed, but its host has never taken it up: nothing of it is there, and the room is free for others.
  const release = operation.kind === 'boot' && operation.state === 'queued' && operation.step === 'place'
  if (release && instance.host !== undefined) rest.host = null
  await settleInstance(db, instance.id, rest, now)
  if (release && instance.host !== undefined) await freeRoom(db, instance.host, instance.size)
  return state ?? instance.status
}

/** Power states in which there is a guest to speak of. */
const alive: ReadonlySet<PowerState> = new Set(['RUNNING', 'PAUSED', 'SUSPENDED'])

/**
 * The state in which an instance rests now that its guest was seen like this. That there is no guest does not mend an
 * error, and says nothing of an instance that was not built yet.
 */
export function stateSeen(state: InstanceState, power: PowerState): InstanceState {
  if (state === 'BUILD') return state
  if (state === 'ERROR' && !alive.has(power)) return state
  return restingState[power]
}
