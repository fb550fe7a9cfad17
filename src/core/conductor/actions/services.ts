import { fail } from '../../base/errors.ts'
import { nearest } from '../../base/near.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { Service } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { findService, listServices, serviceId, setService } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive } from './access.ts'

type Deps = Pick<ConductorDeps, 'db' | 'clock' | 'options'>

/** The daemons, and whether they are up. */
export async function serviceList(
  deps: Deps,
  { limit = pageDefault, marker }: Args<typeof conductor, 'serviceList'>,
): Promise<Result<typeof conductor, 'serviceList'>> {
  const { rows, ...more } = inOneAnswer(await listServices(deps.db, { limit, marker, alive: alive(deps) }))
  return { services: rows, ...more }
}

/** Enables or disables a service; a disabled compute service gets no new instances. `ServiceNotFound`. */
export async function serviceSet(
  deps: Deps & Pick<ConductorDeps, 'publish'>,
  ctx: Context,
  { host, binary = 'compute', enabled, reason }: Args<typeof conductor, 'serviceSet'>,
): Promise<Service> {
  const id = serviceId(binary, host)
  const service = await change(deps, async (db, emit) => {
    if (!(await setService(db, id, { enabled, reason }))) return undefined
    const service = await findService(db, id, alive(deps))
    emit({
      at: deps.clock.now(),
      type: enabled ? 'service.enable' : 'service.disable',
      host,
      requestId: ctx.requestId,
      projectId: ctx.projectId,
      userId: ctx.userId,
      message: reason === undefined || enabled ? id : `${id}: ${reason}`,
      ...(service === undefined ? {} : { service }),
    })
    return service
  })
  if (service) return service
  const known = await listServices(deps.db, { limit: pageDefault, alive: alive(deps) })
  return fail('ServiceNotFound', {
    id,
    near: nearest(
      id,
      known.map((s) => s.id),
    ),
  })
}
