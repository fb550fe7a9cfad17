import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteIntrospector,
} from 'kysely'
import type { Clock } from '../base/clock.ts'
import { Failure, reason } from '../base/errors.ts'
import { isBusy, isConnectionLoss, isRolledBack, SqliteTablesCompiler, SqliteTransactionalAdapter } from './dialect.ts'

/** The part of the `node:sqlite` API that we use. */
type Statement = {
  all(...parameters: unknown[]): unknown[]
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
    // The switch to WAL may find the file locked by another process that opens it; later waits do not block the
    // process.
    library = new DatabaseSync(path, { timeout: 5000 })
    library.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on')
    // Pages that change all the time are copied into the database file once for 32 MiB of the log, not for 4.
    library.exec('pragma wal_autocheckpoint = 8000')
    library.exec('pragma busy_timeout = 0')
  } catch (e) {
    throw new Failure('DatabaseDown', { why: `${path}: ${reason(e)}` }, e)
  }
  return {
    createAdapter: () => new SqliteTransactionalAdapter(),
    createDriver: () => sqliteDriver(library, path, clock),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteTablesCompiler(),
  }
}

/** One connection, handed out in the order of requests; a statement runs to its end before anything else happens. */
function sqliteDriver(library: Library, path: string, clock: Clock): Driver {
  const connection = sqliteConnection(library, path, clock)
  const waiting: Array<() => void> = []
  let taken = false
  return {
    async init() {},
    async acquireConnection() {
      if (taken) await new Promise<void>((resolve) => waiting.push(resolve))
      taken = true
      return connection
    },
    async releaseConnection() {
      const next = waiting.shift()
      if (next) next()
      else taken = false
    },
    // Plain `begin` takes the write lock only at the first write; if another writer holds it then, the whole
    // transaction must start over.
    async beginTransaction(c) {
      await c.executeQuery(CompiledQuery.raw('begin immediate'))
    },
    async commitTransaction(c) {
      await c.executeQuery(CompiledQuery.raw('commit'))
    },
    async rollbackTransaction(c) {
      try {
        await c.executeQuery(CompiledQuery.raw('rollback'))
      } catch (e) {
        // If its disk is full, SQLite has already rolled back; the caller must see the full disk as the cause.
        if (!isRolledBack(e)) throw e
      }
    },
    async destroy() {
      library.close()
    },
  }
}

const reads = /^\s*(select|with|pragma|explain|values)\b|\breturning\b/i
const statementsMax = 500
/** Longer statements are lists of rows, whose text hardly ever repeats. */
const cachedCharsMax = 8_000
const busyMsMax = 10_000

function sqliteConnection(library: Library, path: string, clock: Clock): DatabaseConnection {
  const statements = new Map<string, { statement: Statement; reads: boolean }>()
  const prepare = (sql: string) => {
    const cached = statements.get(sql)
    if (cached) return cached
    const fresh = { statement: library.prepare(sql), reads: reads.test(sql) }
    if (sql.length > cachedCharsMax) return fresh
    if (statements.size >= statementsMax) statements.delete(statements.keys().next().value as string)
    statements.set(sql, fresh)
    return fresh
  }
  const once = <R>({ sql, parameters }: CompiledQuery): QueryResult<R> => {
    const { statement, reads } = prepare(sql)
    const values = parameters.map(bindable)
    if (reads) return { rows: statement.all(...values) as R[] }
    const { changes, lastInsertRowid } = statement.run(...values)
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }
  return {
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
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
    // biome-ignore lint/correctness/useYield: nothing of ours streams.
    async *streamQuery() {
      throw new Error('bug: SQLite results are not streamed')
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
