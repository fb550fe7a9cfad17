import { type MigrationResultSet, Migrator, NO_MIGRATIONS } from 'kysely'
import { migrations } from '../../../migrations/index.ts'
import type { Db } from './handle.ts'

/** The name of no migration at all. */
const none = 'none'

const migratorOf = (db: Db) =>
  new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) }, allowUnorderedMigrations: false })

/**
 * Brings the tables to the newest form. Safe to run twice, in several processes at once, and while daemons run: the
 * second waits for the first and finds nothing to do. Answers with the migrations that were applied.
 */
export async function syncDatabase(db: Db): Promise<{ applied: string[]; version: string }> {
  const applied = outcome(await migratorOf(db).migrateToLatest())
  return { applied, version: await databaseVersion(db) }
}

/** Takes all tables away again, with everything in them: for tests. */
export async function unsyncDatabase(db: Db): Promise<string[]> {
  return outcome(await migratorOf(db).migrateTo(NO_MIGRATIONS))
}

/** The name of the newest migration that was applied; `none` on an empty database. */
export async function databaseVersion(db: Db): Promise<string> {
  const done = (await migratorOf(db).getMigrations()).filter((m) => m.executedAt !== undefined)
  return done.at(-1)?.name ?? none
}

/** The name of the newest migration that this program knows. */
export const newestVersion = (): string => Object.keys(migrations).sort().at(-1) ?? none

function outcome({ error, results }: MigrationResultSet): string[] {
  if (error !== undefined) throw error
  return (results ?? []).map((r) => r.migrationName)
}
