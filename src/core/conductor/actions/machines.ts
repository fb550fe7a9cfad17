import { fail } from '../../base/errors.ts'
import { nearest } from '../../base/near.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { Service } from '../../contracts/shapes.ts'
import { serverVersion } from '../../db/dialect.ts'
import { databaseVersion } from '../../db/migrate.ts'
import type { Context } from '../../model/context.ts'
import { healthOf } from '../../model/health.ts'
import { change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { listHosts, resolveHost } from '../../store/hosts.ts'
import { countInstances, listInstances } from '../../store/instances.ts'
import { countOperations } from '../../store/operations.ts'
import { findService, listServices, serviceId, setService } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive, onlyAdmins, pageDefault } from './access.ts'

type Deps = Pick<ConductorDeps, 'db' | 'clock' | 'options'>

/** Every daemon, and whether it is up. Administrators only. */
export async function serviceList(deps: Deps, ctx: Context): Promise<Result<typeof conductor, 'serviceList'>> {
  onlyAdmins(ctx, 'see the services')
  return { services: await listServices(deps.db, alive(deps)) }
}

/** Enables or disables a service; a disabled compute service gets no new instances. `ServiceNotFound`. */
export async function serviceSet(
  deps: Deps & Pick<ConductorDeps, 'publish'>,
  ctx: Context,
  { host, binary = 'compute', enabled, reason }: Args<typeof conductor, 'serviceSet'>,
): Promise<Service> {
  onlyAdmins(ctx, 'enable and disable services')
  const id = serviceId(binary, host)
  const service = await change(deps, async (db, note) => {
    if (!(await setService(db, id, { enabled, reason }))) return undefined
    const service = await findService(db, id, alive(deps))
    note({
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
  const known = await listServices(deps.db, alive(deps))
  return fail('ServiceNotFound', {
    id,
    near: nearest(
      id,
      known.map((s) => s.id),
    ),
  })
}

/** Every host with its room. Administrators only. */
export async function hostList(deps: Deps, ctx: Context): Promise<Result<typeof conductor, 'hostList'>> {
  onlyAdmins(ctx, 'see the hosts')
  return { hosts: await listHosts(deps.db, { alive: alive(deps), overcommit: deps.options.placement }) }
}

/** One host with its instances. Administrators only; `HostNotFound`. */
export async function hostShow(
  deps: Deps,
  ctx: Context,
  { host: name }: Args<typeof conductor, 'hostShow'>,
): Promise<Result<typeof conductor, 'hostShow'>> {
  onlyAdmins(ctx, 'see the hosts')
  const host = await resolveHost(deps.db, name, { alive: alive(deps), overcommit: deps.options.placement })
  return { host, instances: await listInstances(deps.db, { host: name, limit: pageDefault }) }
}

/** Counts and versions of the whole cloud. */
export async function status(deps: Deps & Pick<ConductorDeps, 'version'>): Promise<Result<typeof conductor, 'status'>> {
  const { db, options, version } = deps
  const now = alive(deps)
  const [server, migration, services, instances, operations, hosts] = await Promise.all([
    serverVersion(db),
    databaseVersion(db),
    listServices(db, now),
    countInstances(db),
    countOperations(db),
    listHosts(db, { alive: now, overcommit: options.placement }),
  ])
  return {
    version,
    database: { dialect: db.dialect, version: server, migration },
    services,
    instances,
    operations,
    hosts: {
      up: hosts.filter((h) => healthOf(h) === 'up').length,
      degraded: hosts.filter((h) => healthOf(h) === 'degraded').length,
      down: hosts.filter((h) => healthOf(h) === 'down').length,
      disabled: hosts.filter((h) => h.status === 'disabled').length,
    },
  }
}
