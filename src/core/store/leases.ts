import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'

/**
 * Takes the lease of this name for `holder` until `until`, or renews it; times are in milliseconds since the epoch. False
 * if another holds it and `now` is not past its end. Of several that try at once, one gets it.
 */
export async function acquireLease(db: Db, name: string, holder: string, until: number, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('leases')
    .set({ holder, until })
    .where('name', '=', name)
    .where((eb) => eb.or([eb('holder', '=', holder), eb('until', '<=', now)]))
    .executeTakeFirst()
  if (numUpdatedRows === 1n) return true
  try {
    await db.insertInto('leases').values({ name, holder, until }).execute()
    return true
  } catch (e) {
    if (isUniqueViolation(e)) return false
    throw e
  }
}

/** Gives the lease up, so that another may take it at once; nothing happens if `holder` does not hold it. */
export async function releaseLease(db: Db, name: string, holder: string): Promise<void> {
  await db.deleteFrom('leases').where('name', '=', name).where('holder', '=', holder).execute()
}
