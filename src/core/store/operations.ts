import type { Insertable, Updateable } from 'kysely'
import type { Results } from '../contracts/kinds.ts'
import type { Fault, OperationSummary, Step } from '../contracts/shapes.ts'
import { locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { inStatements, insertRows } from '../db/insert.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import type { InstanceState } from '../model/instance.ts'
import { isOpen, type OperationState, openStates } from '../model/operation.ts'
import { joinedLegs, type Leg, legColumns, legsOf } from './legs.ts'
import { type OperationRecord, type Placing, summaryOfOperation, toRecord } from './operation-record.ts'
import { type Marker, markerOf, olderThan } from './paging.ts'

/** An operation that is about to be begun. */
export type NewOperation = Pick<
  OperationRecord,
  'id' | 'kind' | 'subject' | 'projectId' | 'userId' | 'args' | 'placing' | 'requestId' | 'deadline' | 'createdAt'
> & {
  before?: InstanceState | undefined
  idempotencyKey?: string | undefined
  retryOf?: string | undefined
}

/** Inserts operations and their subjects; a unique violation if a subject has an open one already, or a key was used. */
export async function addOperations(db: Db, operations: readonly NewOperation[]): Promise<void> {
  for (const chunk of inStatements(operations)) {
    await insertRows(db, 'operations', chunk.map(fromNew))
    await insertRows(
      db,
      'operation_subjects',
      chunk.map(({ id, subject }) => ({
        operation_id: id,
        kind: subject.kind,
        id: subject.id,
        open_id: subject.id,
      })),
    )
  }
}

const fromNew = (o: NewOperation): Insertable<Database['operations']> => ({
  id: o.id,
  subject_kind: o.subject.kind,
  subject_id: o.subject.id,
  subject_name: o.subject.name,
  project_id: o.projectId,
  user_id: o.userId,
  kind: o.kind,
  args: JSON.stringify(o.args),
  placing: o.placing === undefined ? null : JSON.stringify(o.placing),
  results: null,
  request_id: o.requestId,
  idempotency_key: o.idempotencyKey ?? null,
  state: 'queued' satisfies OperationState,
  stage: 0,
  undoing: 0,
  step: null,
  steps: '[]',
  host: null,
  attempt: 0,
  before_state: o.before ?? null,
  deadline: o.deadline,
  cancel_requested: 0,
  retry_of: o.retryOf ?? null,
  fault: null,
  created_at: o.createdAt,
  finished_at: null,
})

/** An operation as it stands right after {@link addOperations}. */
export const queuedRecord = (operation: NewOperation): OperationRecord => ({
  ...operation,
  results: {},
  state: 'queued',
  stage: 0,
  undoing: false,
  step: undefined,
  steps: [],
  host: undefined,
  attempt: 0,
  before: operation.before,
  cancelRequested: false,
  retryOf: operation.retryOf,
  fault: undefined,
  finishedAt: undefined,
})

/** One operation by its id. */
export async function findOperation(db: Db, id: string): Promise<OperationRecord | undefined> {
  const row = await db.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toRecord(row)
}

/** An operation with its legs, all locked until the transaction ends: the operation first. One query. */
export async function lockOperation(db: Db, id: string): Promise<(OperationRecord & { legs: Leg[] }) | undefined> {
  const { rows } = await selectWithLegs(db, { id })
  const [row] = rows
  return row && { ...toRecord(row), legs: joinedLegs(rows) }
}

const selectWithLegs = prepared((db: Db, { id }: { id: string }) =>
  locked(
    db,
    db
      .selectFrom('operations as o')
      .leftJoin('operation_hosts as l', 'l.operation_id', 'o.id')
      .selectAll('o')
      .select(legColumns)
      .where('o.id', '=', id),
  ),
)

/** The open operation of a subject, locked until the transaction ends if `lock` is set. */
export async function openOperation(
  db: Db,
  subjectId: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<OperationRecord | undefined> {
  const query = db
    .selectFrom('operation_subjects as s')
    .innerJoin('operations as o', 'o.id', 's.operation_id')
    .selectAll('o')
    .where('s.open_id', '=', subjectId)
  const row = await (lock ? locked(db, query) : query).executeTakeFirst()
  return row && toRecord(row)
}

/** Of these subjects, those that have an open operation. */
export async function busySubjects(db: Db, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await db.selectFrom('operation_subjects').select('open_id').where('open_id', 'in', ids).execute()
  return new Set(rows.map((row) => row.open_id as string))
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

/** What the engine changes of an open operation; what is left out stays. */
export type OperationChange = {
  state?: 'running'
  stage?: number
  undoing?: boolean
  fault?: Fault
  host?: string
  deadline?: number
  placing?: Placing
  results?: Results
  steps?: readonly Step[]
  attempt?: number
  cancelRequested?: true
}

/** Changes an operation that is open; false if it is over. */
export async function changeOperation(db: Db, id: string, change: OperationChange): Promise<boolean> {
  const { state, stage, undoing, fault, host, deadline, placing, results, steps, attempt, cancelRequested } = change
  const { numAffectedRows } = await updateOpen(db, {
    id,
    ...(state === undefined ? {} : { state }),
    ...(stage === undefined ? {} : { stage }),
    ...(undoing === undefined ? {} : { undoing: undoing ? 1 : 0 }),
    ...(fault === undefined ? {} : { fault: JSON.stringify(fault) }),
    ...(host === undefined ? {} : { host }),
    ...(deadline === undefined ? {} : { deadline }),
    ...(placing === undefined ? {} : { placing: JSON.stringify(placing) }),
    ...(results === undefined ? {} : { results: JSON.stringify(results) }),
    ...(steps === undefined ? {} : { steps: JSON.stringify(steps) }),
    ...(attempt === undefined ? {} : { attempt }),
    ...(cancelRequested === undefined ? {} : { cancel_requested: 1 }),
  })
  return numAffectedRows === 1n
}

const updateOpen = prepared((db: Db, { id, ...set }: { id: string } & Updateable<Database['operations']>) =>
  db.updateTable('operations').set(set).where('id', '=', id).where('state', 'in', openStates),
)

/**
 * Ends an operation that is open: its subjects are free, its legs are gone, what its steps left is forgotten. False if it
 * was over already. Part of a transaction.
 */
export async function closeOperation(
  db: Db,
  id: string,
  end: {
    state: 'succeeded' | 'failed' | 'cancelled'
    fault: Fault | undefined
    now: number
    steps: readonly Step[]
    step: string | undefined
    host: string | undefined
    attempt: number
  },
): Promise<boolean> {
  const { numAffectedRows } = await updateOpen(db, {
    id,
    state: end.state,
    fault: end.fault === undefined ? null : JSON.stringify(end.fault),
    results: null,
    steps: JSON.stringify(end.steps),
    step: end.step ?? null,
    host: end.host ?? null,
    attempt: end.attempt,
    finished_at: end.now,
  })
  if (numAffectedRows !== 1n) return false
  await freeSubjects(db, { id })
  await deleteLegs(db, { id })
  return true
}

const freeSubjects = prepared((db: Db, { id }: { id: string }) =>
  db.updateTable('operation_subjects').set({ open_id: null }).where('operation_id', '=', id),
)
const deleteLegs = prepared((db: Db, { id }: { id: string }) =>
  db.deleteFrom('operation_hosts').where('operation_id', '=', id),
)

/** Takes an operation away as if it had never been asked for; its subjects and legs go with it. */
export async function removeOperation(db: Db, id: string): Promise<void> {
  await deleteLegs(db, { id })
  await db.deleteFrom('operation_subjects').where('operation_id', '=', id).execute()
  await db.deleteFrom('operations').where('id', '=', id).execute()
}

/** The ids of open operations whose deadline has passed, the oldest first. */
export async function expiredOperations(db: Db, now: number, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('operations')
    .select('id')
    .where('state', 'in', openStates)
    .where('deadline', '<', now)
    .orderBy('deadline')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

/** Newest first. `InvalidRequest` if the marker is no operation. Two queries: the page, and who takes part in open ones. */
export async function listOperations(
  db: Db,
  asked: {
    limit: number
    marker?: string | undefined
    subjectId?: string | undefined
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
    .$if(asked.subjectId !== undefined, (q) => q.where('subject_id', '=', asked.subjectId as string))
    .$if(asked.projectId !== undefined, (q) => q.where('project_id', '=', asked.projectId as string))
    .$if(asked.state !== undefined, (q) => q.where('state', '=', asked.state as string))
    .$if(asked.open === true, (q) => q.where('state', 'in', openStates))
    .$if(asked.open === false, (q) => q.where('state', 'not in', openStates))
    .$if(after !== undefined, (q) => q.where(olderThan(after as Marker)))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(asked.limit)
    .execute()
  return withLegs(db, rows.map(toRecord))
}

async function withLegs(db: Db, records: readonly OperationRecord[]): Promise<OperationSummary[]> {
  const open = records.filter(({ state }) => isOpen(state)).map(({ id }) => id)
  const legs = await legsOf(db, open)
  return records.map((record) => summaryOfOperation(record, legs.get(record.id) ?? []))
}

/** The newest operation of a subject that a scheduler has placed; undefined if there is none. */
export async function latestPlaced(db: Db, subjectId: string): Promise<OperationSummary | undefined> {
  const row = await db
    .selectFrom('operations')
    .selectAll()
    .where('subject_id', '=', subjectId)
    .where('placing', 'is not', null)
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && (await withLegs(db, [toRecord(row)]))[0]
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
  await db.deleteFrom('operation_subjects').where('operation_id', 'in', ids).execute()
  await db.deleteFrom('operations').where('id', 'in', ids).execute()
  return ids.length
}
