import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'

/** The id of the directory that has this cloud's image files; undefined as long as no conductor has run. */
export const imageDirectoryId = async (db: Db): Promise<string | undefined> =>
  (await db.selectFrom('image_directory').select('id').executeTakeFirst())?.id

/** Records the directory's id, if there is none yet; answers with the one that is recorded. */
export async function recordImageDirectory(db: Db, id: string): Promise<string> {
  try {
    await db.insertInto('image_directory').values({ one: 1, id }).execute()
    return id
  } catch (e) {
    // Another conductor has begun at the same time.
    if (!isUniqueViolation(e)) throw e
    return (await imageDirectoryId(db)) ?? id
  }
}
