import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type CompiledQuery, type Dialect, type QueryResult, SqliteIntrospector } from 'kysely'
import type { Clock } from '../base/clock.ts'
import { Failure, reason } from '../base/errors.ts'
import { isBusy, isConnectionLoss, SqliteTablesCompiler, SqliteTransactionalAdapter } from './dialect.ts'
import { groupingDriver, type Statements } from './group-commit.ts'
import { type Readable, rowReader } from './sqlite-rows.ts'

/** The part of the `node:sqlite` API that we use. */
type Statement = Readable & {
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}
type Library = { prepare(sql: string): Statement; exec(sql: string): void; close(): void }
type LibraryModule = { DatabaseSync: new (path: string, options?: { timeout?: number }) => Library }

/** Node's own module if it exists (22.13 and later), otherwise a package with the same API, prebuilt for Node 20. */
async function load(): Promise<LibraryModule> {
  const own = process.getBuiltinModule?.('node:sqlite')
  return (own ?? (await import('@photostructure/sqlite'))) as unknown as LibraryModule
}

/** Opens a file (or `:memory:`) for several processes to share. */
export async function sqliteDialect(path: string, clock: Clock): Promise<Dialect> {
  const { DatabaseSync } = await load()
  let library: Library
  try {
    if (path !== ':memory:') {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      // Private to its owner: user data may contain passwords. SQLite gives the files beside it the same mode.
      closeSync(openSync(path, 'a', 0o600))
    }
    // What somebody was told is on the disk: `full` waits for the log at every commit, `normal` only at checkpoints.
    // The switch to WAL may find the file locked by another process that opens it; later waits do not block the
    // process.
    library = new DatabaseSync(path, { timeout: 5000 })
    library.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
    // Pages that change all the time are copied into the database file once for 32 MiB of the log, not for 4.
    library.exec('pragma wal_autocheckpoint = 8000')
    library.exec('pragma busy_timeout = 0')
  } catch (e) {
    throw new Failure('DatabaseDown', { why: `${path}: ${reason(e)}` }, e)
  }
  return {
    createAdapter: () => new SqliteTransactionalAdapter(),
    createDriver: () => groupingDriver(sqliteStatements(library, path, clock), () => library.close()),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteTablesCompiler(),
  }
}

const reads = /^\s*(select|with|pragma|explain|values)\b|\breturning\b/i
const onlyReads = /^\s*(select|pragma|explain|values)\b/i
const statementsMax = 500
/** Longer statements are lists of rows, whose text hardly ever repeats. */
const cachedCharsMax = 8_000
const busyMsMax = 10_000

/** Runs statements on the one connection; each runs to its end before anything else happens. */
function sqliteStatements(library: Library, path: string, clock: Clock): Statements {
  type Prepared = { statement: Statement; read: ReturnType<typeof rowReader> | undefined }
  const statements = new Map<string, Prepared>()
  const prepare = (sql: string) => {
    const cached = statements.get(sql)
    if (cached) return cached
    const statement = library.prepare(sql)
    const fresh = { statement, read: reads.test(sql) ? rowReader(statement) : undefined }
    if (sql.length > cachedCharsMax) return fresh
    if (statements.size >= statementsMax) statements.delete(statements.keys().next().value as string)
    statements.set(sql, fresh)
    return fresh
  }
  const once = <R>({ sql, parameters }: CompiledQuery): QueryResult<R> => {
    const { statement, read } = prepare(sql)
    const values = parameters.map(bindable)
    if (read) return { rows: read(values) as R[] }
    const { changes, lastInsertRowid } = statement.run(...values)
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }
  return {
    writes: ({ sql }) => !onlyReads.test(sql),
    async run<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      const start = clock.now()
      for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
        try {
          return once<R>(query)
        } catch (e) {
          if (isConnectionLoss(e)) throw new Failure('DatabaseDown', { why: `${path}: ${reason(e)}` }, e)
          if (!isBusy(e)) throw e
          if (clock.now() - start > busyMsMax)
            throw new Failure('DatabaseDown', { why: `${path} has been locked for ${busyMsMax / 1000} s` }, e)
        }
        // Another process writes. A busy timeout of SQLite itself would block this whole process in the meantime.
        await clock.sleep(waitMs)
      }
    },
  }
}

/** Values as the library accepts them; it has no booleans, dates or undefined. */
function bindable(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.getTime()
  return value
}
