import type { Insertable, Selectable } from 'kysely'
import type { Fault, Operation, OperationSummary, Step } from '../contracts/shapes.ts'
import { locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import type { Database } from '../db/schema.ts'
import type { OperationKind, OperationState } from '../model/operation.ts'
import { type Marker, markerOf, olderThan } from './paging.ts'

/** An operation with what only the engine needs to know of it. */
export type OperationRecord = Operation & {
  incarnation?: string
  args: unknown
  dispatchedAt?: number
}

/** An operation that is about to be begun, or (delete of what was never placed) is over at once. */
export type NewOperation = {
  id: string
  instanceId: string
  instanceName: string
  projectId: string
  userId: string
  kind: OperationKind
  args: unknown
  requestId: string
  idempotencyKey?: string | undefined
  state: 'queued' | 'succeeded'
  host?: string | undefined
  deadline: number
  retryOf?: string | undefined
  createdAt: number
}

/** Inserts operations; a unique violation where an instance has an open one already, or a key was used. */
export async function addOperations(db: Db, operations: readonly NewOperation[]): Promise<void> {
  for (let start = 0; start < operations.length; start += 500)
    await db
      .insertInto('operations')
      .values(operations.slice(start, start + 500).map(fromNew))
      .execute()
}

const fromNew = (o: NewOperation): Insertable<Database['operations']> => ({
  id: o.id,
  instance_id: o.instanceId,
  instance_name: o.instanceName,
  project_id: o.projectId,
  user_id: o.userId,
  kind: o.kind,
  args: JSON.stringify(o.args),
  request_id: o.requestId,
  idempotency_key: o.idempotencyKey ?? null,
  state: o.state,
  open_instance_id: o.state === 'queued' ? o.instanceId : null,
  step: null,
  steps: '[]',
  host: o.host ?? null,
  incarnation: null,
  lease_until: null,
  attempt: 0,
  deadline: o.deadline,
  cancel_requested: 0,
  retry_of: o.retryOf ?? null,
  fault: null,
  created_at: o.createdAt,
  // Its message goes out right after the commit; the sweeper need not look at it before it is late.
  dispatched_at: o.createdAt,
  finished_at: o.state === 'queued' ? null : o.createdAt,
})

/** One operation by its id. */
export async function findOperation(db: Db, id: string): Promise<OperationRecord | undefined> {
  const row = await db.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toRecord(row)
}

/** The open operation of an instance, locked until the transaction ends where `lock` is set. */
export async function openOperation(
  db: Db,
  instanceId: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<OperationRecord | undefined> {
  const query = db.selectFrom('operations').selectAll().where('open_instance_id', '=', instanceId)
  const row = await (lock ? locked(db, query) : query).executeTakeFirst()
  return row && toRecord(row)
}

/** Of these instances, those that have an open operation. */
export async function busyInstances(db: Db, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('operations')
    .select('open_instance_id')
    .where('open_instance_id', 'in', ids)
    .execute()
  return new Set(rows.map((row) => row.open_instance_id as string))
}

/** The operations that an idempotency key began (`<key>:<number>`), by number. */
export async function operationsOfKey(db: Db, key: string): Promise<OperationRecord[]> {
  const rows = await db
    .selectFrom('operations')
    .selectAll()
    .where('idempotency_key', '>=', `${key}:`)
    // ';' is the character after ':'.
    .where('idempotency_key', '<', `${key};`)
    .execute()
  const number = (row: { idempotency_key: string | null }) => Number(row.idempotency_key?.slice(key.length + 1))
  return rows.sort((a, b) => number(a) - number(b)).map(toRecord)
}

/** Forgets idempotency keys that were used before `before`: the same key is another request from then on. */
export async function forgetKeys(db: Db, before: number, key?: string): Promise<void> {
  await db
    .updateTable('operations')
    .set({ idempotency_key: null })
    .where('created_at', '<', before)
    .where('idempotency_key', 'is not', null)
    .$if(key !== undefined, (q) => q.where('idempotency_key', '>=', `${key}:`).where('idempotency_key', '<', `${key};`))
    .execute()
}

/** Newest first. `InvalidRequest` where the marker is no operation. */
export async function listOperations(
  db: Db,
  asked: {
    limit: number
    marker?: string | undefined
    instanceId?: string | undefined
    projectId?: string | undefined
    state?: OperationState | undefined
    open?: boolean | undefined
  },
): Promise<OperationSummary[]> {
  const after: Marker | undefined =
    asked.marker === undefined ? undefined : await markerOf(db, 'operations', asked.marker, asked.projectId)
  const rows = await db
    .selectFrom('operations')
    .selectAll()
    .$if(asked.instanceId !== undefined, (q) => q.where('instance_id', '=', asked.instanceId as string))
    .$if(asked.projectId !== undefined, (q) => q.where('project_id', '=', asked.projectId as string))
    .$if(asked.state !== undefined, (q) => q.where('state', '=', asked.state as string))
    .$if(asked.open === true, (q) => q.where('open_instance_id', 'is not', null))
    .$if(asked.open === false, (q) => q.where('open_instance_id', 'is', null))
    .$if(after !== undefined, (q) => q.where(olderThan(after as Marker)))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(asked.limit)
    .execute()
  return rows.map(toOperationSummary)
}

/** The newest operation on an instance, of one kind where that is given. */
export async function latestOperation(
  db: Db,
  instanceId: string,
  kind?: OperationKind,
): Promise<OperationSummary | undefined> {
  const row = await db
    .selectFrom('operations')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .$if(kind !== undefined, (q) => q.where('kind', '=', kind as string))
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && toOperationSummary(row)
}

/** How many operations there are in each state, of one project if that is given. */
export async function countOperations(db: Db, projectId?: string): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('operations')
    .select(({ fn }) => ['state', fn.countAll().as('count')])
    .$if(projectId !== undefined, (q) => q.where('project_id', '=', projectId as string))
    .groupBy('state')
    .execute()
  return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]))
}

/** Removes the records of operations that ended before a time, and their decisions; at most `batch`. Answers how many went. */
export async function pruneOperations(db: Db, before: number, batch: number): Promise<number> {
  const rows = await db
    .selectFrom('operations')
    .select('id')
    .where('created_at', '<', before)
    .where('finished_at', '<', before)
    .orderBy('created_at')
    .limit(batch)
    .execute()
  if (rows.length === 0) return 0
  const ids = rows.map(({ id }) => id)
  await db.deleteFrom('decisions').where('operation_id', 'in', ids).execute()
  await db.deleteFrom('operations').where('id', 'in', ids).execute()
  return ids.length
}

type OperationRow = Selectable<Database['operations']>

const some = <K extends string, V>(key: K, value: V | null | undefined) =>
  (value === null || value === undefined ? {} : { [key]: value }) as { [k in K]?: V }

function toOperationSummary(row: OperationRow): OperationSummary {
  return {
    id: row.id,
    kind: row.kind as OperationKind,
    state: row.state as OperationState,
    instanceId: row.instance_id,
    instanceName: row.instance_name,
    ...some('step', row.step),
    ...some('host', row.host),
    attempt: row.attempt,
    requestId: row.request_id,
    createdAt: row.created_at,
    ...some('finishedAt', row.finished_at),
    ...(row.fault === null ? {} : { fault: JSON.parse(row.fault) as Fault }),
  }
}

function toRecord(row: OperationRow): OperationRecord {
  return {
    ...toOperationSummary(row),
    steps: JSON.parse(row.steps) as Step[],
    deadline: row.deadline,
    ...some('leaseUntil', row.lease_until),
    cancelRequested: row.cancel_requested === 1,
    userId: row.user_id,
    projectId: row.project_id,
    ...some('retryOf', row.retry_of),
    ...some('incarnation', row.incarnation),
    args: JSON.parse(row.args),
    ...some('dispatchedAt', row.dispatched_at),
  }
}

/** The shape that faces see. */
export function toOperation({ incarnation: _, args: __, dispatchedAt: ___, ...operation }: OperationRecord): Operation {
  return operation
}

/** The short form of one. */
export function toOperationSummaryOf(operation: OperationRecord): OperationSummary {
  const {
    steps: _,
    deadline: __,
    leaseUntil: ___,
    cancelRequested,
    userId,
    projectId,
    retryOf,
    ...rest
  } = toOperation(operation)
  return rest
}
