import type { Context } from '../../model/context.ts'
import { type PowerState, statusSeen } from '../../model/instance.ts'
import { change } from '../../operations/change.ts'
import { faultOf } from '../../operations/faults.ts'
import { lockInstances, settleInstance } from '../../store/instances.ts'
import { busySubjects } from '../../store/operations.ts'
import { serviceIncarnation } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/**
 * Takes note of guests that changed by themselves: an instance that is at rest gets the state that its guest is in. One
 * with an open operation is left alone: the end of that will tell.
 */
export async function observe(
  deps: ConductorDeps,
  ctx: Context,
  seen: {
    host: string
    incarnation: string
    changes: ReadonlyArray<{ id: string; power: PowerState }>
    /** What the hypervisor said of guests that crashed, by their ids. */
    lastWords?: Readonly<Record<string, string>> | undefined
  },
): Promise<void> {
  const { host, incarnation, changes, lastWords } = seen
  if (changes.length === 0 || (await serviceIncarnation(deps.db, 'compute', host)) !== incarnation) return
  const powers = new Map(changes.map(({ id, power }) => [id, power]))
  const now = deps.clock.now()
  await change(deps, async (db, emit) => {
    const ids = [...powers.keys()]
    const instances = await lockInstances(db, ids)
    const busy = await busySubjects(db, ids)
    for (const instance of instances) {
      const power = powers.get(instance.id)
      if (power === undefined || instance.host !== host || busy.has(instance.id)) continue
      const state = statusSeen(instance.status, power)
      if (state === instance.status && power === instance.power) continue
      const words = lastWords?.[instance.id]
      const crash = { name: instance.name, ...(words === undefined ? {} : { words }) }
      const fault = power === 'CRASHED' ? { fault: faultOf('GuestCrashed', crash, now, host) } : {}
      await settleInstance(db, instance.id, { state, power, ...fault }, now)
      if (state === instance.status) continue
      emit({
        at: now,
        type: 'instance.update',
        instanceId: instance.id,
        instanceName: instance.name,
        host,
        requestId: ctx.requestId,
        projectId: instance.projectId,
        message: `${instance.status} → ${state}: the guest is ${power}`,
        status: state,
        before: { status: instance.status },
      })
    }
  })
}
