import type { Db } from '../db/handle.ts'

/** Whether nothing was ever made here: no flavor, image, instance (nor one that was deleted), operation or project. */
export async function isEmptyCloud(db: Db): Promise<boolean> {
  for (const table of ['flavors', 'images', 'instances', 'instance_history', 'operations', 'projects'] as const) {
    if (await db.selectFrom(table).select('id').limit(1).executeTakeFirst()) return false
  }
  return true
}
