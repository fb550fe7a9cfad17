import type { Fault } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { noteHostFailure } from '../../store/hosts.ts'
import { lockInstance, settleInstance } from '../../store/instances.ts'
import type { OperationRecord } from '../../store/operations.ts'
import { type BootArgs, freeRoom } from '../../store/placement.ts'
import { type Owner, requeueBoot } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { about, change } from './change.ts'
import { tell } from './dispatch.ts'
import { isOfTheHost } from './faults.ts'

/** Whether a boot that failed like this is tried on another host. */
export function goesElsewhere(
  { options }: Pick<ConductorDeps, 'options'>,
  operation: OperationRecord,
  fault: Fault,
  now: number,
): boolean {
  if (operation.kind !== 'boot' || operation.cancelRequested || operation.deadline <= now || !isOfTheHost(fault))
    return false
  const { excluded, forced } = operation.args as BootArgs
  return !forced && excluded.length + 1 < options.maxAttempts
}

/**
 * Sends a boot that failed on its host back to be placed: the host's room is free, it is not asked again for this boot,
 * and schedulers prefer others for a while. False where the operation was no longer this owner's.
 */
export async function reschedule(
  deps: ConductorDeps,
  ctx: Context,
  operation: OperationRecord,
  { owner, fault }: { owner: Owner; fault: Fault },
): Promise<boolean> {
  const now = deps.clock.now()
  const before = operation.args as BootArgs
  const args = { ...before, excluded: [...before.excluded, owner.host], faults: [...before.faults, fault] }
  const requeued = await change(deps, async (db, note) => {
    const instance = await lockInstance(db, operation.instanceId)
    if (!instance || !(await requeueBoot(db, operation.id, owner, args, now))) return false
    await settleInstance(db, instance.id, { host: null, power: 'NOSTATE' }, now)
    await freeRoom(db, owner.host, instance.size)
    await noteHostFailure(db, owner.host, now)
    note({
      ...about(operation, now),
      type: 'instance.create.retry',
      host: owner.host,
      message: fault.message,
      operation: { kind: operation.kind, state: 'queued', step: 'place', attempt: operation.attempt, fault },
    })
    return true
  })
  if (!requeued) return false
  const message = { id: operation.id, kind: operation.kind, host: undefined }
  await tell(deps, ctx, message).catch((e) =>
    deps.log.warn({ operation: operation.id, err: e }, 'no scheduler hears, the sweeper will try again'),
  )
  return true
}
