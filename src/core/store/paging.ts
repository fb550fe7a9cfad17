import type { Expression, ExpressionBuilder, SqlBool } from 'kysely'
import { fail } from '../base/errors.ts'
import type { Db } from '../db/handle.ts'

/** Which part of a list is wanted: at most `limit` rows, after the row that `marker` names. */
export type Page = { limit: number; marker?: string | undefined }

/** Where a page ends: the next one begins with what is older, or equally old with a smaller id. */
export type Marker = { at: number; id: string }

/**
 * The place of the last row that a caller has seen. `InvalidRequest` if there is no such row, or if it is not of the
 * project whose list this is.
 */
export async function markerOf(
  db: Db,
  table: 'instances' | 'operations' | 'instance_history',
  id: string,
  projectId: string | undefined,
): Promise<Marker> {
  const row =
    table === 'instance_history'
      ? await db.selectFrom(table).select(['deleted_at as at', 'project_id']).where('id', '=', id).executeTakeFirst()
      : await db.selectFrom(table).select(['created_at as at', 'project_id']).where('id', '=', id).executeTakeFirst()
  if (!row || (projectId !== undefined && row.project_id !== projectId)) return failMarker(id)
  return { at: row.at, id }
}

/** The row that a marker names is not there. */
export const failMarker = (id: string): never =>
  fail('InvalidRequest', { what: `The marker "${id}" is not in the list.`, hint: 'Take the id of the last row.' })

type Paged = { listed: { created_at: number; id: string } }

/** Rows after the marker in a list that is ordered by `created_at desc, id desc`. */
export const olderThan =
  ({ at, id }: Marker) =>
  // biome-ignore lint/suspicious/noExplicitAny: any table that has the two columns.
  (eb: ExpressionBuilder<any, any>): Expression<SqlBool> => {
    const own = eb as unknown as ExpressionBuilder<Paged, 'listed'>
    return own.or([own('created_at', '<', at), own.and([own('created_at', '=', at), own('id', '<', id)])])
  }

/** Rows after a place in a list that is ordered by these columns, all of them ascending. */
export const after =
  (place: Readonly<Record<string, string | number>>) =>
  // biome-ignore lint/suspicious/noExplicitAny: any table that has the columns.
  (eb: ExpressionBuilder<any, any>): Expression<SqlBool> => {
    const columns = Object.entries(place)
    return eb.or(
      columns.map(([column, value], i) =>
        eb.and([...columns.slice(0, i).map(([name, same]) => eb(name, '=', same)), eb(column, '>', value)]),
      ),
    )
  }
