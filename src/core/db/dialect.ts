import {
  type ColumnDefinitionNode,
  type CreateTableNode,
  DataTypeNode,
  type DropIndexNode,
  MysqlQueryCompiler,
  SqliteAdapter,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import type { Db } from './handle.ts'

/**
 * Every difference between the two dialects except how to connect: what a migration becomes, how rows are locked, how
 * errors are recognised. No query elsewhere may ask which dialect it runs on.
 */

/**
 * Appended to a query that reads what its transaction is about to change. SQLite's transactions exclude each other
 * anyway.
 */
export function locked<Q extends { forUpdate(): Q }>(db: Db, query: Q): Q {
  return db.dialect === 'mysql' ? query.forUpdate() : query
}

/**
 * The generated ids of the `count` rows that one statement inserted, in order: MySQL returns the first, SQLite the last. Each
 * node of a Galera cluster gives every third id, say, and how many it leaves out changes with the cluster, so the server is
 * asked; by the same connection, so `db` must be the transaction that inserted.
 */
export async function insertedIds(
  db: Db,
  { insertId }: { insertId?: bigint | undefined },
  count: number,
): Promise<number[]> {
  const told = Number(insertId ?? 0)
  if (db.dialect === 'sqlite') return Array.from({ length: count }, (_, i) => told - count + 1 + i)
  const step = count === 1 ? 1 : await idStep(db)
  return Array.from({ length: count }, (_, i) => told + i * step)
}

async function idStep(db: Db): Promise<number> {
  const { rows } = await sql<{ step: number }>`select @@session.auto_increment_increment as step`.execute(db)
  return Number(rows[0]?.step)
}

/** The version of the database server or library. */
export async function serverVersion(db: Db): Promise<string> {
  const query = db.dialect === 'mysql' ? sql<{ v: string }>`select version() as v` : sql`select sqlite_version() as v`
  const { rows } = await query.execute(db)
  return String((rows[0] as { v: string }).v)
}

/** SQLite locks its whole file, so migrations run in one transaction there, which also keeps out other processes. */
export class SqliteTransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

/**
 * A table whose key has several columns is kept in the order of that key, as InnoDB keeps every table: else SQLite keeps the
 * rows and the key as two trees, and writes both (https://sqlite.org/withoutrowid.html, which advises so for short rows).
 */
export class SqliteTablesCompiler extends SqliteQueryCompiler {
  protected override visitCreateTable(node: CreateTableNode): void {
    super.visitCreateTable(node)
    const key = node.constraints?.find(
      (constraint) => constraint.kind === 'PrimaryKeyConstraintNode' && constraint.columns.length > 1,
    )
    if (key) this.append(' without rowid')
  }

  /** The names of indexes are those of a whole database; MySQL wants the table, too. */
  protected override visitDropIndex({ table: _, ...node }: DropIndexNode): void {
    super.visitDropIndex(node)
  }
}

/**
 * Migrations are written for SQLite; this adds what MySQL needs: names that differ in case are different (its default
 * collations would make "Web" and "web" equal), and generated ids that do not end at 2^31.
 */
export class MysqlTablesCompiler extends MysqlQueryCompiler {
  protected override visitCreateTable(node: CreateTableNode): void {
    super.visitCreateTable(node)
    this.append(' engine = InnoDB character set utf8mb4 collate utf8mb4_bin')
  }

  protected override visitColumnDefinition(node: ColumnDefinitionNode): void {
    super.visitColumnDefinition(node.autoIncrement ? { ...node, dataType: DataTypeNode.create('bigint') } : node)
  }
}

/** What drivers attach to the errors they throw: `errno` of mysql2, `errcode` of node:sqlite. */
type DriverError = { errno?: unknown; errcode?: unknown; code?: unknown; fatal?: unknown }
const known = (e: unknown): DriverError => (typeof e === 'object' && e !== null ? (e as DriverError) : {})

/** A row with this key exists already. SQLite: SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY; MySQL: ER_DUP_ENTRY. */
export function isUniqueViolation(e: unknown): boolean {
  const { errno, errcode } = known(e)
  return errcode === 2067 || errcode === 1555 || errno === 1062
}

/**
 * What a migration makes is there already, or what it removes is gone: another process has done it. MySQL:
 * ER_TABLE_EXISTS_ERROR, ER_BAD_TABLE_ERROR, ER_DUP_FIELDNAME, ER_DUP_KEYNAME, ER_DUP_ENTRY, ER_CANT_DROP_FIELD_OR_KEY.
 */
export const isThereAlready = (e: unknown): boolean =>
  [1050, 1051, 1060, 1061, 1062, 1091].some((errno) => known(e).errno === errno)

/** Another transaction conflicted; this one may be tried again. MySQL: ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT. */
export function isConflict(e: unknown): boolean {
  const { errno } = known(e)
  return errno === 1213 || errno === 1205 || isBusy(e)
}

/** The server has no such setting: MySQL has none of Galera's. ER_UNKNOWN_SYSTEM_VARIABLE. */
export const isUnknownVariable = (e: unknown): boolean => known(e).errno === 1193

/** SQLITE_BUSY and SQLITE_LOCKED with all their extended codes: another process holds the file at the moment. */
export function isBusy(e: unknown): boolean {
  const { errcode } = known(e)
  return typeof errcode === 'number' && ((errcode & 0xff) === 5 || (errcode & 0xff) === 6)
}

/** The disk of the database is full. SQLITE_FULL; MySQL: ER_DISK_FULL, ER_RECORD_FILE_FULL. */
export function isFull(e: unknown): boolean {
  const { errno, errcode } = known(e)
  if ((typeof errcode === 'number' && (errcode & 0xff) === 13) || errno === 1021 || errno === 1114) return true
  return e instanceof Error && e.cause !== undefined && isFull(e.cause)
}

/** There is no transaction to roll back: SQLite has already done it. This error has no code of its own. */
export const isRolledBack = (e: unknown): boolean =>
  typeof known(e).errcode === 'number' &&
  e instanceof Error &&
  /no transaction is active|no such savepoint/.test(e.message)

const lostCodes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR',
  'PROTOCOL_ENQUEUE_AFTER_QUIT',
  'ER_CON_COUNT_ERROR',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CONNECTION_KILLED',
  'ER_ACCESS_DENIED_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
  'POOL_CLOSED',
])

const refusals: ReadonlySet<unknown> = new Set([
  ...[1792, 1836, 3032, 1927, 1047, 1180],
  // Its disk, its memory or its threads are used up, or what this login may use of it.
  ...[1021, 1114, 1037, 1038, 1041, 1135, 1203, 1226],
  // The login has lost a right, or its password has expired; tables are gone, as in a database that was made anew, or damaged.
  ...[1142, 1143, 1820, 1862, 1146, 1030, 1194, 1195],
])

/**
 * The server is there and takes nothing from us now: it has become read-only, as the old primary is after a failover, its
 * cluster has lost it, or a limit or a right is in the way. Another connection may lead to a server that does. MySQL: ER_OPTION_PREVENTS_STATEMENT (read-only),
 * ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE, ER_SERVER_OFFLINE_MODE, ER_CONNECTION_KILLED of MariaDB; Galera: ER_UNKNOWN_COM_ERROR,
 * ER_ERROR_DURING_COMMIT.
 */
export function isRefusal(e: unknown): boolean {
  const { errno } = known(e)
  if (errno === 1290) return e instanceof Error && /read.only/i.test(e.message)
  return refusals.has(errno)
}

/**
 * The database is unavailable: gone, not started yet, or it refuses the login. SQLite: READONLY (also of a file that was moved
 * away), IOERR, CORRUPT, FULL, CANTOPEN,
 * NOTADB.
 */
export function isConnectionLoss(e: unknown): boolean {
  const { code, errcode, fatal } = known(e)
  if (typeof errcode === 'number') return [8, 10, 11, 13, 14, 26].includes(errcode & 0xff)
  // For a closed connection mysql2 has no code, only the mark that the connection cannot be used any more.
  return fatal === true || lostCodes.has(code) || (e instanceof Error && e.message === 'Pool is closed.')
}
