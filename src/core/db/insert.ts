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

/**
 * Inserts rows by one statement; answers with the generated id, if the table has one, as the server tells it. One row is
 * what most requests write: the text of that statement is made once. A server takes some hundred rows at once, not more.
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
