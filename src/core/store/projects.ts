import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'

/** What is limited, as `quotas.resource` names it. */
export const quotaResources = ['instances', 'cores', 'ram'] as const
type QuotaResource = (typeof quotaResources)[number]
/** So much of each thing that a quota bounds. */
export type Amounts = Record<QuotaResource, number>

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
  }
}
