import { type Selectable, sql } from 'kysely'
import { fail } from '../base/errors.ts'
import { nearest } from '../base/near.ts'
import type { Flavor } from '../contracts/shapes.ts'
import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import { idThatBegins } from './id-prefix.ts'
import { after, failMarker, type Page } from './paging.ts'

/** Flavors, the smallest first. One query (two with a marker). `InvalidRequest` if the marker is no flavor's id. */
export async function listFlavors(db: Db, { limit, marker }: Page): Promise<Flavor[]> {
  const last = marker === undefined ? undefined : await placeOf(db, marker)
  const rows = await db
    .selectFrom('flavors')
    .selectAll()
    .$if(last !== undefined, (q) => q.where(after(last ?? {})))
    .orderBy('memory_mb')
    .orderBy('vcpus')
    .orderBy('disk_gb')
    .orderBy('name')
    .limit(limit)
    .execute()
  return rows.map(toFlavor)
}

/** The smallest flavor with room for an image that needs so much; one with no disk takes the image's own size, as in Nova. */
export async function smallestFlavor(db: Db, image: Needs): Promise<Flavor | undefined> {
  const { rows } = await selectSmallest(db, { minMemoryMb: image.minMemoryMb, minDiskGb: image.minDiskGb })
  return rows[0] && toFlavor(rows[0])
}

type Needs = { minMemoryMb: number; minDiskGb: number }

const selectSmallest = prepared((db: Db, { minMemoryMb, minDiskGb }: Needs) =>
  db
    .selectFrom('flavors')
    .selectAll()
    .where('memory_mb', '>=', minMemoryMb)
    .where((eb) => eb.or([eb('disk_gb', '=', 0), eb('disk_gb', '>=', minDiskGb)]))
    .orderBy('memory_mb')
    .orderBy('vcpus')
    .orderBy('disk_gb')
    .orderBy('name')
    .limit(sql.lit(1)),
)

const placeOf = async (db: Db, id: string) =>
  (await db
    .selectFrom('flavors')
    .select(['memory_mb', 'vcpus', 'disk_gb', 'name'])
    .where('id', '=', id)
    .executeTakeFirst()) ?? failMarker(id)

/** The flavor of this id or, else, name or, else, beginning of an id. `FlavorNotFound` with near names. */
export async function resolveFlavor(db: Db, ref: string): Promise<Flavor> {
  const rows = await db
    .selectFrom('flavors')
    .selectAll()
    .where((eb) => eb.or([eb('id', '=', ref), eb('name', '=', ref)]))
    .execute()
  const row = rows.find(({ id }) => id === ref) ?? rows[0]
  if (row) return toFlavor(row)
  const id = await idThatBegins(db, 'flavors', ref)
  if (id !== undefined && id !== ref) return resolveFlavor(db, id)
  const names = await db.selectFrom('flavors').select('name').limit(1000).execute()
  fail('FlavorNotFound', {
    id: ref,
    near: nearest(
      ref,
      names.map(({ name }) => name),
    ),
  })
}

/** Adds flavors, all or none. `FlavorExists` if a name is taken. */
export async function addFlavors(db: Db, flavors: readonly Flavor[]): Promise<void> {
  try {
    await db
      .insertInto('flavors')
      .values(
        flavors.map((f) => ({
          id: f.id,
          name: f.name,
          vcpus: f.vcpus,
          memory_mb: f.memoryMb,
          disk_gb: f.diskGb,
          created_at: f.createdAt,
        })),
      )
      .execute()
  } catch (e) {
    if (isUniqueViolation(e)) fail('FlavorExists', { name: flavors.map(({ name }) => name).join(', ') }, e)
    throw e
  }
}

/** Removes a flavor; instances have their size in their own row. */
export async function removeFlavor(db: Db, id: string): Promise<void> {
  await db.deleteFrom('flavors').where('id', '=', id).execute()
}

const toFlavor = (row: Selectable<Database['flavors']>): Flavor => ({
  id: row.id,
  name: row.name,
  vcpus: row.vcpus,
  memoryMb: row.memory_mb,
  diskGb: row.disk_gb,
  createdAt: row.created_at,
})
