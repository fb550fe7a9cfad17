import { sql } from 'kysely'
import { fail } from '../base/errors.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'

type Range = { from: string; to: string; projectId?: string }

const tables = {
  instances: { kind: 'instance', find: prepared<Range, { id: string }>((db, range) => idsOf(db, 'instances', range)) },
  operations: {
    kind: 'operation',
    find: prepared<Range, { id: string }>((db, range) => idsOf(db, 'operations', range)),
  },
  images: {
    kind: 'image',
    find: prepared<Range, { id: string }>((db, { from, to, projectId }) =>
      db
        .selectFrom('images')
        .select('id')
        .where('id', '>=', from)
        .where('id', '<', to)
        .$if(projectId !== undefined, (q) =>
          q.where((eb) => eb.or([eb('project_id', '=', projectId as string), eb('visibility', '=', 'public')])),
        )
        .limit(sql.lit(20)),
    ),
  },
  flavors: {
    kind: 'flavor',
    find: prepared<Omit<Range, 'projectId'>, { id: string }>((db, { from, to }) =>
      db.selectFrom('flavors').select('id').where('id', '>=', from).where('id', '<', to).limit(sql.lit(20)),
    ),
  },
} as const

const idsOf = (db: Db, table: 'instances' | 'operations', { from, to, projectId }: Range) =>
  db
    .selectFrom(table)
    .select('id')
    .where('id', '>=', from)
    .where('id', '<', to)
    .$if(projectId !== undefined, (q) => q.where('project_id', '=', projectId as string))
    .limit(sql.lit(20))

/**
 * The one id that begins with these eight or more characters, as tables on narrow terminals show ids; undefined if there is
 * none, or if that is no beginning of an id. With a project, only of what is that project's (or public). `AmbiguousName` if several begin so.
 */
export async function idThatBegins(
  db: Db,
  table: keyof typeof tables,
  ref: string,
  projectId?: string,
): Promise<string | undefined> {
  const from = ref.toLowerCase()
  if (!/^[0-9a-f]{8}[0-9a-f-]{0,28}$/.test(from)) return undefined
  const { kind, find } = tables[table]
  // Ids consist of digits, a to f and hyphens: all of them sort before g.
  const { rows } = await find(db, { from, to: `${from}g`, ...(projectId === undefined ? {} : { projectId }) })
  if (rows.length > 1) fail('AmbiguousName', { kind, name: ref, ids: rows.map(({ id }) => id).sort(), isPrefix: true })
  return rows[0]?.id
}
