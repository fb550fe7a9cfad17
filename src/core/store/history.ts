import type { Instance, InstanceSummary } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { allocationsOf, release } from './allocations.ts'
import { findInstances, type InstanceFilter, summaryOf } from './instances.ts'
import { type Marker, markerOf } from './paging.ts'

/**
 * Removes an instance for good: its row goes, a compact record stays, all room that it held is free. Part of a
 * transaction that has locked the instance.
 */
export async function archiveInstance(db: Db, instance: Instance, now: number): Promise<void> {
  const { key: _, operation: __, ...record } = instance
  await db.deleteFrom('instances').where('id', '=', instance.id).execute()
  await db
    .insertInto('instance_history')
    .values({
      id: instance.id,
      name: instance.name,
      project_id: instance.projectId,
      user_id: instance.userId,
      host: instance.host ?? null,
      flavor: instance.flavor,
      image: instance.image,
      created_at: instance.createdAt,
      launched_at: instance.launchedAt ?? null,
      deleted_at: now,
      record: JSON.stringify(record),
    })
    .execute()
  await release(db, await allocationsOf(db, instance.id))
}

/** Of these ids, those of instances that were deleted. */
export async function deletedAmong(db: Db, ids: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>()
  for (let start = 0; start < ids.length; start += 500) {
    const rows = await db
      .selectFrom('instance_history')
      .select('id')
      .where('id', 'in', ids.slice(start, start + 500))
      .execute()
    for (const { id } of rows) found.add(id)
  }
  return found
}

/** How many records are read at a time: each may have all metadata and hints that an instance may have. */
const recordsAtOnce = 200

/** The instances of these ids, by id; a deleted one as it was last. What has left no record is not among them. */
export async function instancesEver(db: Db, ids: readonly string[]): Promise<Map<string, Instance>> {
  const found = new Map((await findInstances(db, ids)).map((instance) => [instance.id, instance]))
  const missing = ids.filter((id) => !found.has(id))
  if (missing.length === 0) return found
  const rows = await db.selectFrom('instance_history').select(['id', 'record']).where('id', 'in', missing).execute()
  for (const { id, record } of rows) found.set(id, JSON.parse(record) as Instance)
  return found
}

/** Deleted instances, the last deleted first, as they were then. */
export async function listDeleted(db: Db, asked: InstanceFilter): Promise<InstanceSummary[]> {
  const found: InstanceSummary[] = []
  const page = asked.status === undefined ? Math.min(asked.limit, recordsAtOnce) : recordsAtOnce
  let after =
    asked.marker === undefined ? undefined : await markerOf(db, 'instance_history', asked.marker, asked.projectId)
  // The state is in the record alone, so that a page may have fewer that fit than were asked for: on with the next one.
  for (;;) {
    const rows = await pageOfDeleted(db, { ...asked, limit: page }, after)
    for (const { record, deleted_at } of rows) {
      const instance = { ...summaryOf(JSON.parse(record) as Instance, undefined), deletedAt: deleted_at }
      if (asked.status === undefined || instance.status === asked.status) found.push(instance)
      if (found.length === asked.limit) return found
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < page) return found
    after = { at: last.deleted_at, id: last.id }
  }
}

const pageOfDeleted = (db: Db, asked: InstanceFilter, after: Marker | undefined) =>
  db
    .selectFrom('instance_history')
    .select(['id', 'record', 'deleted_at'])
    .$if(asked.projectId !== undefined, (q) => q.where('project_id', '=', asked.projectId as string))
    .$if(asked.ids !== undefined, (q) => q.where('id', 'in', asked.ids as string[]))
    .$if(asked.name !== undefined, (q) =>
      q.where(({ eb, fn }) => eb(fn<number>('instr', ['name', eb.val(asked.name)]), '>', 0)),
    )
    .$if(asked.host !== undefined, (q) => q.where('host', '=', asked.host as string))
    .$if(asked.flavor !== undefined, (q) => q.where('flavor', '=', asked.flavor as string))
    .$if(asked.image !== undefined, (q) => q.where('image', '=', asked.image as string))
    .$if(after !== undefined, (q) =>
      q.where((eb) =>
        eb.or([
          eb('deleted_at', '<', after?.at ?? 0),
          eb.and([eb('deleted_at', '=', after?.at ?? 0), eb('id', '<', after?.id ?? '')]),
        ]),
      ),
    )
    .orderBy('deleted_at', 'desc')
    .orderBy('id', 'desc')
    .limit(asked.limit)
    .execute()

/** Removes the records of instances that were deleted before a time, at most `batch`. Answers how many went. */
export async function pruneHistory(db: Db, before: number, batch: number): Promise<number> {
  const rows = await db
    .selectFrom('instance_history')
    .select('id')
    .where('deleted_at', '<', before)
    .orderBy('deleted_at')
    .limit(batch)
    .execute()
  if (rows.length === 0) return 0
  await db
    .deleteFrom('instance_history')
    .where(
      'id',
      'in',
      rows.map(({ id }) => id),
    )
    .execute()
  return rows.length
}
