import { sql } from 'kysely'
import { afterAll } from 'vitest'
import { systemClock } from '../../src/core/base/clock.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { syncDatabase } from '../../src/core/db/migrate.ts'
import { type Db, openDatabase } from '../../src/core/db/open.ts'
import { admin, type TestDatabase, type TestDatabases } from './databases.ts'

/** The databases that earlier tests of this file had on the server: migrated, and nobody's now. */
const left: string[] = []
afterAll(async () => {
  for (const url of left) await admin(`drop database ${new URL(url).pathname.slice(1)}`)
})

/**
 * A database of its own for a test, with all tables and no rows. A server takes a second to make the tables, so that a test
 * gets those of an earlier test, emptied, by connections of its own.
 */
export async function migrated(databases: TestDatabases): Promise<TestDatabase> {
  const earlier = databases.name === 'mysql' ? left.pop() : undefined
  if (earlier !== undefined) {
    const db = await openDatabase(earlier, { log: silentLog, clock: systemClock })
    await empty(db)
    return given(db, earlier)
  }
  const made = await databases.open()
  await syncDatabase(made.db)
  return databases.name === 'mysql' ? given(made.db, made.url) : made
}

const given = (db: Db, url: string): TestDatabase => ({
  db,
  url,
  async drop() {
    await db.destroy()
    left.push(url)
  },
})

/** As after the migrations; numbers that the database gives begin at 1 again. */
const empty = (db: Db): Promise<void> =>
  db.connection().execute(async (one) => {
    const tables = await one.introspection.getTables()
    await sql`set foreign_key_checks = 0`.execute(one)
    for (const { name } of tables) await sql`delete from ${sql.table(name)}`.execute(one)
    await sql`alter table events auto_increment = 1`.execute(one)
    await sql`set foreign_key_checks = 1`.execute(one)
  })
