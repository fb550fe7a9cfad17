import type { Expression, ExpressionBuilder, SqlBool } from 'kysely'
import { fail } from '../base/errors.ts'
import type { Db } from '../db/handle.ts'

/** Where a page ends: the next one begins with what is older, or equally old with a smaller id. */
export type Marker = { at: number; id: string }

/** The place of the last row that a caller has seen. `InvalidRequest` where there is no such row. */
export async function markerOf(
  db: Db,
  table: 'instances' | 'operations' | 'instance_history',
  id: string,
): Promise<Marker> {
  const row =
    table === 'instance_history'
      ? await db.selectFrom(table).select('deleted_at as at').where('id', '=', id).executeTakeFirst()
      : await db.selectFrom(table).select('created_at as at').where('id', '=', id).executeTakeFirst()
  if (!row)
    fail('InvalidRequest', { what: `The marker "${id}" is not in the list.`, hint: 'Take the id of the last row.' })
  return { at: row.at, id }
}

type Paged = { listed: { created_at: number; id: string } }

/** Rows after the marker in a list that is ordered by `created_at desc, id desc`. */
export const olderThan =
  ({ at, id }: Marker) =>
  // biome-ignore lint/suspicious/noExplicitAny: any table that has the two columns.
  (eb: ExpressionBuilder<any, any>): Expression<SqlBool> => {
    const own = eb as unknown as ExpressionBuilder<Paged, 'listed'>
    return own.or([own('created_at', '<', at), own.and([own('created_at', '=', at), own('id', '<', id)])])
  }
