import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import { type Amounts, quotaRecord } from '../model/quota.ts'
import { imageBytesOf } from './images.ts'
import { after, failMarker, type Page } from './paging.ts'

/**
 * Locks a project's row (and makes it, the first time) until the transaction ends: whoever else wants to count the
 * project's quota waits.
 */
export async function lockProject(db: Db, id: string, now: number): Promise<void> {
  const lock = () => locked(db, db.selectFrom('projects').select('id').where('id', '=', id)).executeTakeFirst()
  if (await lock()) return
  try {
    await db.insertInto('projects').values({ id, created_at: now }).execute()
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    await lock()
  }
}

/** What this project may use at most, if it has limits of its own. */
export async function ownQuota(db: Db, projectId: string): Promise<Partial<Amounts>> {
  const { rows } = await selectQuota(db, { projectId })
  return Object.fromEntries(rows.map(({ resource, max }) => [resource, max]))
}

const selectQuota = prepared((db: Db, { projectId }: { projectId: string }) =>
  db.selectFrom('quotas').select(['resource', 'max']).where('project_id', '=', projectId),
)

/** The limits of their own that these projects have, by project. */
export async function ownQuotas(db: Db, projectIds: readonly string[]): Promise<Map<string, Partial<Amounts>>> {
  const rows = await db.selectFrom('quotas').selectAll().where('project_id', 'in', projectIds).execute()
  const own = new Map<string, Partial<Amounts>>(projectIds.map((id) => [id, {}]))
  for (const { project_id, resource, max } of rows) own.set(project_id, { ...own.get(project_id), [resource]: max })
  return own
}

/** Sets limits of a project's own; the others stay. Part of a transaction that has locked the project. */
export async function setQuota(db: Db, projectId: string, limits: Partial<Amounts>): Promise<void> {
  const rows = Object.entries(limits).map(([resource, max]) => ({ project_id: projectId, resource, max }))
  if (rows.length === 0) return
  await db
    .deleteFrom('quotas')
    .where('project_id', '=', projectId)
    .where('resource', 'in', Object.keys(limits))
    .execute()
  await db.insertInto('quotas').values(rows).execute()
}

/** The projects that have a row, by id: those whose quota was ever counted or set. `InvalidRequest` if the marker is none. */
export async function listProjects(db: Db, { limit, marker }: Page): Promise<string[]> {
  if (marker !== undefined && !(await hasProject(db, marker))) failMarker(marker)
  const rows = await db
    .selectFrom('projects')
    .select('id')
    .$if(marker !== undefined, (q) => q.where(after({ id: marker ?? '' })))
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

/** Whether a project has a row. */
export async function hasProject(db: Db, id: string): Promise<boolean> {
  return (await db.selectFrom('projects').select('id').where('id', '=', id).executeTakeFirst()) !== undefined
}

const mib = 2 ** 20

/** What projects use: their rows, counted. Nothing is stored that could drift. Two queries. */
export async function usages(db: Db, projectIds: readonly string[]): Promise<Map<string, Amounts>> {
  const rows = await db
    .selectFrom('instances')
    .select(({ fn }) => [
      'project_id',
      fn.countAll().as('instances'),
      fn.sum('vcpus').as('cores'),
      fn.sum('memory_mb').as('ram'),
    ])
    .where('project_id', 'in', projectIds)
    .groupBy('project_id')
    .execute()
  const bytes = await imageBytesOf(db, projectIds)
  const used = new Map(projectIds.map((id) => [id, quotaRecord(0)]))
  for (const { project_id, instances, cores, ram } of rows)
    used.set(project_id, { ...quotaRecord(0), instances: Number(instances), cores: Number(cores), ram: Number(ram) })
  return new Map(
    [...used].map(([id, amounts]) => [id, { ...amounts, image_size_total: Math.ceil((bytes.get(id) ?? 0) / mib) }]),
  )
}

/** What one project uses. */
export const usage = async (db: Db, projectId: string): Promise<Amounts> =>
  (await usages(db, [projectId])).get(projectId) ?? quotaRecord(0)
