import type { Context } from '../../model/context.ts'
import type { PowerState } from '../../model/instance.ts'
import { hostIncarnation } from '../../store/hosts.ts'
import { lockInstances, settleInstance } from '../../store/instances.ts'
import { busyInstances } from '../../store/operations.ts'
import type { Owner } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { change } from './change.ts'
import { stateSeen } from './end.ts'
import { faultOf } from './faults.ts'

/**
 * Takes note of guests that changed by themselves: an instance that is at rest gets the state that its guest is in. One
 * with an open operation is left alone: the end of that will tell.
 */
export async function observe(
  deps: ConductorDeps,
  ctx: Context,
  {
    host,
    incarnation,
    changes,
    lastWords,
  }: Owner & {
    changes: ReadonlyArray<{ id: string; power: PowerState }>
    lastWords?: Readonly<Record<string, string>> | undefined
  },
): Promise<void> {
  if (changes.length === 0 || (await hostIncarnation(deps.db, host)) !== incarnation) return
  const seen = new Map(changes.map(({ id, power }) => [id, power]))
  const now = deps.clock.now()
  await change(deps, async (db, note) => {
    const ids = [...seen.keys()]
    const instances = await lockInstances(db, ids)
    const busy = await busyInstances(db, ids)
    for (const instance of instances) {
      const power = seen.get(instance.id)
      if (power === undefined || instance.host !== host || busy.has(instance.id)) continue
      const state = stateSeen(instance.status, power)
      if (state === instance.status && power === instance.power) continue
      const words = lastWords?.[instance.id]
      const crash = { name: instance.name, ...(words === undefined ? {} : { words }) }
      const fault = power === 'CRASHED' ? { fault: faultOf('GuestCrashed', crash, now, host) } : {}
      await settleInstance(db, instance.id, { state, power, ...fault }, now)
      if (state === instance.status) continue
      note({
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
