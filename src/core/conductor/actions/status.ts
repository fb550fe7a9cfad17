import { permits } from '../../auth/policy.ts'
import type { conductor } from '../../contracts/conductor.ts'
import { serverVersion } from '../../db/dialect.ts'
import { databaseVersion } from '../../db/migrate.ts'
import type { Context } from '../../model/context.ts'
import type { Result } from '../../rpc/contract.ts'
import { countHosts } from '../../store/hosts.ts'
import { countInstances } from '../../store/instances.ts'
import { countOperations } from '../../store/operations.ts'
import { countServices, listServices } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive } from './access.ts'

/** The most services that the status names one by one. */
const servicesMax = 10_000

/** Counts and versions: of the whole cloud for administrators, of the caller's project for others. */
export async function status(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'options' | 'version'>,
  ctx: Context,
): Promise<Result<typeof conductor, 'status'>> {
  const { db, version } = deps
  const now = alive(deps)
  const projectId = permits(ctx, 'nova:status:all_projects') ? undefined : ctx.projectId
  const named = permits(ctx, 'os_compute_api:os-services:list')
  const [server, migration, services, daemons, instances, operations, hosts] = await Promise.all([
    serverVersion(db),
    databaseVersion(db),
    named ? listServices(db, { limit: servicesMax, alive: now }) : [],
    countServices(db, now),
    countInstances(db, projectId),
    countOperations(db, projectId),
    countHosts(db, now),
  ])
  return {
    version,
    database: { dialect: db.dialect, version: server, migration },
    services,
    daemons,
    instances,
    operations,
    hosts,
  }
}
