import { allow } from '../../auth/policy.ts'
import type { conductor, Quota } from '../../contracts/conductor.ts'
import type { Context } from '../../model/context.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { amountsOf, quotaRecord } from '../../model/quota.ts'
import { change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { listProjects, lockProject, ownQuotas, setQuota, usages } from '../../store/projects.ts'
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
  const projects = await listProjects(deps.db, { limit, marker })
  const { rows, ...more } = inOneAnswer(await quotasOf(deps, projects))
  return { quotas: rows, ...more }
}

/** Gives a project limits of its own; what it uses beyond them already it keeps. */
export async function quotaSet(
  deps: Deps & Pick<ConductorDeps, 'publish'>,
  { requestId, userId }: Context,
  { project, limits }: Args<typeof conductor, 'quotaSet'>,
): Promise<Quota> {
  const said = Object.entries(limits).filter(([, limit]) => limit !== undefined)
  await change(deps, async (db, emit) => {
    const at = deps.clock.now()
    await lockProject(db, project, at)
    await setQuota(db, project, Object.fromEntries(said))
    const message = said.map(([resource, limit]) => `${resource} ${limit}`).join(', ')
    emit({ at, type: 'quota.update', projectId: project, requestId, userId, message })
  })
  return quotaOf(deps, project)
}

const quotaOf = async (deps: Pick<Deps, 'db' | 'options'>, project: string): Promise<Quota> =>
  (await quotasOf(deps, [project]))[0] as Quota

async function quotasOf({ db, options }: Pick<Deps, 'db' | 'options'>, projects: readonly string[]): Promise<Quota[]> {
  if (projects.length === 0) return []
  const [limits, used] = [await ownQuotas(db, projects), await usages(db, projects)]
  return projects.map((project) => {
    const own = limits.get(project) ?? {}
    return {
      project,
      limits: { ...amountsOf(options.quota), ...own },
      used: used.get(project) ?? quotaRecord(0),
      own: Object.keys(own),
    }
  })
}
