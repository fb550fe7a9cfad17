import type { Selectable } from 'kysely'
import type { Event } from '../contracts/shapes.ts'
import { firstInsertId } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { inStatements, insertRows } from '../db/insert.ts'
import type { Database } from '../db/schema.ts'

/** An event before it has its number. */
export type EventDraft = Omit<Event, 'id'>

const eventMessageMax = 2000

/** Appends events, in order, and gives them back with their numbers. */
export async function addEvents(db: Db, drafts: readonly EventDraft[]): Promise<Event[]> {
  const added: Event[] = []
  for (const chunk of inStatements(drafts)) {
    const result = await insertRows(
      db,
      'events',
      chunk.map((draft) => ({
        at: draft.at,
        type: draft.type,
        instance_id: draft.instanceId ?? null,
        instance_name: draft.instanceName ?? null,
        operation_id: draft.operationId ?? null,
        host: draft.host ?? null,
        request_id: draft.requestId,
        project_id: draft.projectId,
        message: draft.message?.slice(0, eventMessageMax) ?? null,
      })),
    )
    const first = firstInsertId(db, result, chunk.length)
    added.push(...chunk.map((draft, i) => ({ id: first + i, ...draft })))
  }
  return added
}

/** Which events a list is to have. */
type EventFilter = {
  limit: number
  after?: number | undefined
  instanceId?: string | undefined
  projectId?: string | undefined
  /** Whether those are among them that are about a host or a service, not about something on it. */
  ofHosts: boolean
}

/** The newest `limit` events, or the oldest `limit` after a number; oldest first either way. */
export async function listEvents(db: Db, asked: EventFilter): Promise<Event[]> {
  const rows = await db
    .selectFrom('events')
    .selectAll()
    .$if(asked.after !== undefined, (q) => q.where('id', '>', asked.after as number))
    .$if(asked.instanceId !== undefined, (q) => q.where('instance_id', '=', asked.instanceId as string))
    .$if(asked.projectId !== undefined, (q) => q.where('project_id', '=', asked.projectId as string))
    .$if(!asked.ofHosts, (q) => q.where((eb) => eb.or([eb('host', 'is', null), eb('instance_id', 'is not', null)])))
    .orderBy('id', asked.after === undefined ? 'desc' : 'asc')
    .limit(asked.limit)
    .execute()
  const events = rows.map(toEvent)
  return asked.after === undefined ? events.reverse() : events
}

/** Removes the oldest events beyond `max`, at most `batch` of them; answers how many went. */
export async function pruneEvents(db: Db, max: number, batch: number): Promise<number> {
  const ends = await db
    .selectFrom('events')
    .select(({ fn }) => [fn.min('id').as('first'), fn.max('id').as('last')])
    .executeTakeFirst()
  if (!ends?.last) return 0
  const keepAfter = Math.min(Number(ends.last) - max, Number(ends.first) + batch - 1)
  if (keepAfter < Number(ends.first)) return 0
  const { numDeletedRows } = await db.deleteFrom('events').where('id', '<=', keepAfter).executeTakeFirst()
  return Number(numDeletedRows)
}

function toEvent(row: Selectable<Database['events']>): Event {
  return {
    id: row.id,
    at: row.at,
    type: row.type,
    ...(row.instance_id === null ? {} : { instanceId: row.instance_id }),
    ...(row.instance_name === null ? {} : { instanceName: row.instance_name }),
    ...(row.operation_id === null ? {} : { operationId: row.operation_id }),
    ...(row.host === null ? {} : { host: row.host }),
    requestId: row.request_id,
    projectId: row.project_id,
    ...(row.message === null ? {} : { message: row.message }),
  }
}
