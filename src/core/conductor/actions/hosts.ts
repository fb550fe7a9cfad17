import type { conductor } from '../../contracts/conductor.ts'
import type { Context } from '../../model/context.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { acceptGrowth, listHosts, lockHost, resolveHost, setHostZone } from '../../store/hosts.ts'
import { listInstances } from '../../store/instances.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive } from './access.ts'
import { checkEmpty } from './host-logins.ts'

type Deps = Pick<ConductorDeps, 'db' | 'clock' | 'options'>

/** The hosts with their room. */
export async function hostList(
  deps: Deps,
  { limit = pageDefault, marker }: Args<typeof conductor, 'hostList'>,
): Promise<Result<typeof conductor, 'hostList'>> {
  const { db, options } = deps
  const asked = { limit, marker, alive: alive(deps), overcommit: options.placement }
  const { rows, ...more } = inOneAnswer(await listHosts(db, asked))
  return { hosts: rows, ...more }
}

/** One host with its instances. `HostNotFound`. */
export async function hostShow(
  deps: Deps,
  { host: name }: Args<typeof conductor, 'hostShow'>,
): Promise<Result<typeof conductor, 'hostShow'>> {
  const { db, options } = deps
  const host = await resolveHost(db, name, { alive: alive(deps), overcommit: options.placement })
  return { host, instances: await listInstances(db, { host: name, limit: pageDefault }) }
}

/** What was added to a host will count the next time that it reports. `HostNotFound`. */
export async function hostAcceptCapacity(
  { db, clock, options }: Deps,
  { host: name }: Args<typeof conductor, 'hostAcceptCapacity'>,
): Promise<Result<typeof conductor, 'hostAcceptCapacity'>> {
  const host = await resolveHost(db, name, { alive: alive({ clock, options }), overcommit: options.placement })
  await acceptGrowth(db, name)
  return host
}

/**
 * Moves a host into an availability zone. `HostInUse` if instances are on it, as in Nova: some were booted into that zone.
 * `HostNotFound`.
 */
export async function hostSet(
  deps: Deps & Pick<ConductorDeps, 'publish'>,
  ctx: Context,
  { host: name, availabilityZone: zone }: Args<typeof conductor, 'hostSet'>,
): Promise<Result<typeof conductor, 'hostSet'>> {
  const { clock, options } = deps
  return change(deps, async (db, emit) => {
    const known = await lockHost(db, name)
    if (known && known.availabilityZone !== zone) {
      checkEmpty(name, known, 'moved to another zone')
      await setHostZone(db, name, zone)
      emit({
        at: clock.now(),
        type: 'host.update',
        host: name,
        requestId: ctx.requestId,
        projectId: ctx.projectId,
        userId: ctx.userId,
        message: `availability zone: ${known.availabilityZone} → ${zone}`,
      })
    }
    return resolveHost(db, name, { alive: alive(deps), overcommit: options.placement })
  })
}
