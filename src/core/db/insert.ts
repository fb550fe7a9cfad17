import type { Insertable, InsertObject } from 'kysely'
import type { Db } from './handle.ts'
import { prepared } from './prepared.ts'
import type { Database } from './schema.ts'

type Table = keyof Database
type Single = (db: Db, row: Record<string, unknown>) => Promise<{ insertId?: bigint }>

const singles = new Map<Table, Single>()

const single = (table: Table): Single => {
  const known = singles.get(table)
  if (known) return known
  const fresh: Single = prepared((db, row) => db.insertInto(table).values(row as InsertObject<Database, Table>))
  singles.set(table, fresh)
  return fresh
}

/** SQLite binds 32,766 values in one statement, and a row has up to 30. */
const rowsMax = 500
/** A server takes 16 MiB in one packet (MariaDB's default `max_allowed_packet`) and cuts the link at more. */
const bytesMax = 4 << 20

/** Rows in parts that one statement takes each; `bytesOf`, for rows that may be long, is about as much as a row has. */
export function* inStatements<T>(rows: readonly T[], bytesOf: (row: T) => number = () => 0): Generator<readonly T[]> {
  for (let start = 0; start < rows.length; ) {
    let end = start
    for (let bytes = 0; end < rows.length && end - start < rowsMax; end++) {
      bytes += bytesOf(rows[end] as T)
      if (bytes > bytesMax && end > start) break
    }
    yield rows.slice(start, end)
    start = end
  }
}

/**
 * Inserts rows by one statement; answers with the generated id, if the table has one, as the server tells it. One row is
 * what most requests write: the text of that statement is made once. {@link inStatements} makes parts of many rows.
 */
export async function insertRows<T extends Table>(
  db: Db,
  table: T,
  rows: ReadonlyArray<Insertable<Database[T]>>,
): Promise<{ insertId?: bigint | undefined }> {
  const [first, ...others] = rows
  if (!first) return {}
  if (others.length === 0) return single(table)(db, first)
  return db
    .insertInto(table as Table)
    .values(rows as ReadonlyArray<InsertObject<Database, Table>>)
    .executeTakeFirstOrThrow()
}
