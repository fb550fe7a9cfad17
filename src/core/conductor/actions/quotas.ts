import { allow } from '../../auth/policy.ts'
import type { conductor, Quota } from '../../contracts/conductor.ts'
import { tx } from '../../db/tx.ts'
import type { Context } from '../../model/context.ts'
import { pageDefault } from '../../model/page.ts'
import { amountsOf } from '../../model/quota.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { listProjects, lockProject, ownQuota, setQuota, usage } from '../../store/projects.ts'
import type { ConductorDeps } from '../deps.ts'

type Deps = Pick<ConductorDeps, 'db' | 'clock' | 'options'>

/** What a project may use, and uses. `Forbidden` if it is another's. */
export async function quotaShow(
  deps: Deps,
  ctx: Context,
  { project = ctx.projectId }: Args<typeof conductor, 'quotaShow'>,
): Promise<Quota> {
  allow(ctx, 'os_compute_api:os-quota-sets:show', { projectId: project, what: `The quota of "${project}"` })
  return quotaOf(deps, project)
}

/** The same of each project that is known, by id. */
export async function quotaList(
  deps: Deps,
  { limit = pageDefault, marker }: Args<typeof conductor, 'quotaList'>,
): Promise<Result<typeof conductor, 'quotaList'>> {
  const quotas: Quota[] = []
  for (const project of await listProjects(deps.db, { limit, marker })) quotas.push(await quotaOf(deps, project))
  return { quotas }
}

/** Gives a project limits of its own; what it uses beyond them already it keeps. */
export async function quotaSet(
  deps: Deps,
  _ctx: Context,
  { project, limits }: Args<typeof conductor, 'quotaSet'>,
): Promise<Quota> {
  await tx(deps.db, async (db) => {
    await lockProject(db, project, deps.clock.now())
    const said = Object.entries(limits).filter(([, limit]) => limit !== undefined)
    await setQuota(db, project, Object.fromEntries(said))
  })
  return quotaOf(deps, project)
}

async function quotaOf({ db, options }: Deps, project: string): Promise<Quota> {
  const own = await ownQuota(db, project)
  const limits = { ...amountsOf(options.quota), ...own }
  return { project, limits, used: await usage(db, project), own: Object.keys(own) }
}
