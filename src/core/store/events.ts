import { type Selectable, sql } from 'kysely'
import type { Event } from '../contracts/shapes.ts'
import { insertedIds } from '../db/dialect.ts'
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
        code: draft.code ?? null,
        user_id: draft.userId ?? null,
      })),
    )
    const ids = await insertedIds(db, result, chunk.length)
    added.push(...chunk.map((draft, i) => ({ id: ids[i] as number, ...draft })))
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

/**
 * Removes events beyond `max`, the oldest first, from those who have the most: each project, and what is about hosts and
 * services in each, keeps as many as the others leave it, so that nobody's events push out another's. `batch` rows a
 * statement. Answers how many went.
 */
export async function pruneEvents(db: Db, max: number, batch: number): Promise<number> {
  const { total } = await db
    .selectFrom('events')
    .select(({ fn }) => fn.countAll().as('total'))
    .executeTakeFirstOrThrow()
  if (Number(total) <= max) return 0
  const owners = await db
    .selectFrom('events')
    .select(({ fn }) => ['project_id', ofHost.as('of_host'), fn.countAll().as('count')])
    .groupBy(['project_id', 'of_host'])
    .execute()
  const most = shareOf(
    owners.map(({ count }) => Number(count)),
    max,
  )
  let gone = 0
  for (const { project_id, of_host, count } of owners)
    for (let left = Number(count) - most; left > 0; left -= batch)
      gone += await removeOldest(db, project_id, Number(of_host), Math.min(left, batch))
  return gone
}

/** 1 for an event that is about a host or a service, not about something on it. */
const ofHost = sql<number>`case when host is not null and instance_id is null then 1 else 0 end`

/** How many each may keep at most, so that all together keep `max` of these counts; who has less leaves the rest to the others. */
function shareOf(counts: readonly number[], max: number): number {
  let left = max
  const ascending = counts.toSorted((a, b) => a - b)
  for (const [i, count] of ascending.entries()) {
    const share = Math.floor(left / (ascending.length - i))
    if (count > share) return share
    left -= count
  }
  return Number.POSITIVE_INFINITY
}

/** Removes the `count` oldest events of a project, either those of hosts (1) or the others (0). */
async function removeOldest(db: Db, projectId: string, isOfHost: number, count: number): Promise<number> {
  const last = await db
    .selectFrom('events')
    .select('id')
    .where('project_id', '=', projectId)
    .where(ofHost, '=', isOfHost)
    .orderBy('id')
    .limit(1)
    .offset(count - 1)
    .executeTakeFirst()
  if (!last) return 0
  const { numDeletedRows } = await db
    .deleteFrom('events')
    .where('project_id', '=', projectId)
    .where('id', '<=', last.id)
    .where(ofHost, '=', isOfHost)
    .executeTakeFirst()
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
    ...(row.code === null ? {} : { code: row.code }),
    ...(row.user_id === null ? {} : { userId: row.user_id }),
  }
}
