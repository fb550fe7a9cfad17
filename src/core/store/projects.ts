import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Amounts } from '../model/quota.ts'
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

/** What a project uses: its rows, counted. Nothing is stored that could drift. */
export async function usage(db: Db, projectId: string): Promise<Amounts> {
  const row = await db
    .selectFrom('instances')
    .select(({ fn }) => [fn.countAll().as('instances'), fn.sum('vcpus').as('cores'), fn.sum('memory_mb').as('ram')])
    .where('project_id', '=', projectId)
    .executeTakeFirst()
  return {
    instances: Number(row?.instances ?? 0),
    cores: Number(row?.cores ?? 0),
    ram: Number(row?.ram ?? 0),
    image_size_total: Math.ceil((await imageBytesOf(db, projectId)) / mib),
  }
}
