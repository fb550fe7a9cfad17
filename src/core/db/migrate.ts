import { DEFAULT_MIGRATION_TABLE, type MigrationResultSet, Migrator, NO_MIGRATIONS, sql } from 'kysely'
import { migrations } from '../../../migrations/index.ts'
import { isThereAlready } from './dialect.ts'
import type { Db } from './handle.ts'
import { unlimited } from './statement-limit.ts'

/** The name for "no migration". */
const none = 'none'

const migratorOf = (db: Db) =>
  new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) }, allowUnorderedMigrations: false })

/**
 * Migrates the tables to the newest version. Safe to run twice, in several processes at once, and while daemons run:
 * the second waits for the first and finds nothing to do. The nodes of a Galera cluster do not know each other's locks: there
 * the first statement decides, which fails for all but one, and who lost waits until the tables are as they should be. So
 * each migration must begin with a statement that cannot be done twice. A database that a newer program has migrated is left as it
 * is: migrations only add, so this program can work with it. Returns the applied migrations.
 */
export async function syncDatabase(db: Db): Promise<{ applied: string[]; version: string }> {
  const newer = (await appliedMigrations(db)).filter((name) => !(name in migrations)).at(-1)
  if (newer !== undefined) return { applied: [], version: newer }
  try {
    const applied = outcome(await unlimited(() => migratorOf(db).migrateToLatest()))
    return { applied, version: await databaseVersion(db) }
  } catch (e) {
    if (!isThereAlready(e) || !(await doneByAnother(db))) throw e
    return { applied: [], version: await databaseVersion(db) }
  }
}

/** How long another process may take for one migration. */
const anotherWithinMs = 30_000
const lookAgainMs = 250

/** Waits until another process has migrated the tables; false if it makes no progress. */
async function doneByAnother(db: Db): Promise<boolean> {
  let seen = await databaseVersion(db)
  for (let since = db.clock.now(); seen < newestVersion() || seen === none; ) {
    if (db.clock.now() - since > anotherWithinMs) return false
    await db.clock.sleep(lookAgainMs)
    const version = await databaseVersion(db)
    if (version !== seen) since = db.clock.now()
    seen = version
  }
  return true
}

/** Drops all tables with everything in them: for tests. */
export async function unsyncDatabase(db: Db): Promise<string[]> {
  return outcome(await unlimited(() => migratorOf(db).migrateTo(NO_MIGRATIONS)))
}

/** The name of the newest applied migration, whichever program applied it; `none` for an empty database. */
export async function databaseVersion(db: Db): Promise<string> {
  return (await appliedMigrations(db)).at(-1) ?? none
}

/** All applied migrations, in order; Kysely's own list has only those that this program knows. */
async function appliedMigrations(db: Db): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some(({ name }) => name === DEFAULT_MIGRATION_TABLE)) return []
  const { rows } = await sql<{ name: string }>`
    select name from ${sql.table(DEFAULT_MIGRATION_TABLE)} order by name`.execute(db)
  return rows.map(({ name }) => name)
}

/** The name of the newest migration that this program knows. */
export const newestVersion = (): string => Object.keys(migrations).sort().at(-1) ?? none

function outcome({ error, results }: MigrationResultSet): string[] {
  if (error !== undefined) throw error
  return (results ?? []).map((r) => r.migrationName)
}
