import { systemClock } from '../core/base/clock.ts'
import { silentLog } from '../core/base/log.ts'
import { ownDirectory } from '../core/base/own-directory.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import type { Config } from '../core/config/load.ts'
import { databaseUrl } from '../core/config/places.ts'
import { databaseVersion, newestVersion, syncDatabase } from '../core/db/migrate.ts'
import { type Db, openDatabase } from '../core/db/open.ts'

async function withDatabase<T>(config: Config, fn: (db: Db) => Promise<T>): Promise<T> {
  process.umask(0o077)
  if (config.database.url === '') ownDirectory(config.stateDir, 'state_dir')
  const db = await openDatabase(databaseUrl(config), {
    tls: certificatesOf(config, 'database'),
    log: silentLog,
    clock: systemClock,
  })
  try {
    return await fn(db)
  } finally {
    await db.destroy()
  }
}

/** `nova db sync`: which migrations were applied, and where the database is now. */
export const syncNow = (config: Config): Promise<{ applied: string[]; version: string }> =>
  withDatabase(config, syncDatabase)

/** `nova db version`. */
export const versionNow = (config: Config): Promise<{ current: string; latest: string }> =>
  withDatabase(config, async (db) => ({ current: await databaseVersion(db), latest: newestVersion() }))
