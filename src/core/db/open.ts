import { isAbsolute } from 'node:path'
import { type Dialect, Kysely } from 'kysely'
import type { Clock } from '../base/clock.ts'
import { fail, isFailure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { redact } from '../base/redact.ts'
import type { Tls } from '../base/tls.ts'
import { urlParts } from '../base/url.ts'
import { serverVersion } from './dialect.ts'
import { type Db, type DialectName, withSetting } from './handle.ts'
import type { Database } from './schema.ts'

export type { Db } from './handle.ts'

/**
 * Opens the database of a URL: `sqlite:/path/to/file`, `sqlite::memory:`, `mysql://user:password@host:port/name` (with
 * `?socketPath=…` for a local socket), the last one only over TLS if `tls` is given. The database has answered when
 * this returns. `DatabaseDown`, or `ConfigInvalid` if the URL is of an unknown kind. Only the needed library is loaded.
 */
export async function openDatabase(
  url: string,
  { log, clock, tls, poolSize = 10 }: { log: Log; clock: Clock; tls?: Tls | undefined; poolSize?: number },
): Promise<Db> {
  const { name, dialect } = await dialectOf(url, { clock, poolSize, tls })
  const db = withSetting(new Kysely<Database>({ dialect }), { dialect: name, clock, log })
  try {
    await serverVersion(db)
  } catch (e) {
    await db.destroy().catch(() => undefined)
    throw isFailure(e) ? e : new Error(`the first query failed: ${String(e)}`, { cause: e })
  }
  return db
}

const key = 'database.url'
const allowed = 'it must be sqlite:/path/to/file or mysql://user:password@host:port/database'

async function dialectOf(
  url: string,
  { clock, poolSize, tls }: { clock: Clock; poolSize: number; tls: Tls | undefined },
): Promise<{ name: DialectName; dialect: Dialect }> {
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
    // Each process would make a database of its own in the directory that it was started in.
    if (path !== ':memory:' && !isAbsolute(path))
      fail('ConfigInvalid', { key, value: url, source: 'as given', allowed })
    const { sqliteDialect } = await import('./sqlite.ts')
    return { name: 'sqlite', dialect: await sqliteDialect(path, clock) }
  }
  if (/^(mysql|mariadb):/.test(url)) {
    const { mysqlDialect } = await import('./mysql.ts')
    return { name: 'mysql', dialect: await mysqlDialect(urlParts(url, { key, allowed }), { clock, poolSize, tls }) }
  }
  fail('ConfigInvalid', { key, value: redact(url), source: 'as given', allowed })
}
