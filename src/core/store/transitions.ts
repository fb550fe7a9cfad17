import type { Fault, Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import type { OperationRecord } from './operations.ts'
import type { BootArgs } from './placement.ts'

/** Who holds an operation: a host, in one life of its daemon. */
export type Owner = { host: string; incarnation: string }

/**
 * The changes of an operation's state. Each one is a compare-and-set on the row: it answers true where the row was still
 * what the caller had seen, and changes nothing otherwise.
 */

/**
 * A host takes the operation; `seen` is what it looked like before. Its host counts, too: a boot that waits to be claimed
 * may be placed elsewhere meanwhile, and would be built twice.
 */
export async function takeOperation(
  db: Db,
  seen: Pick<OperationRecord, 'id' | 'state' | 'attempt'> & {
    host?: string | undefined
    incarnation?: string | undefined
  },
  taken: Owner & { leaseUntil: number; attempt: number; step: string; steps: Step[] },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({
      state: 'running',
      host: taken.host,
      incarnation: taken.incarnation,
      lease_until: taken.leaseUntil,
      attempt: taken.attempt,
      step: taken.step,
      steps: JSON.stringify(taken.steps),
    })
    .where('id', '=', seen.id)
    .where('state', '=', seen.state)
    .where('attempt', '=', seen.attempt)
    .where('host', seen.host === undefined ? 'is' : '=', seen.host ?? null)
    .where('incarnation', seen.incarnation === undefined ? 'is' : '=', seen.incarnation ?? null)
    .where('open_instance_id', 'is not', null)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** The owner has come to a step; its lease is renewed. False also where a cancellation was asked for. */
export async function recordStep(
  db: Db,
  id: string,
  { host, incarnation }: Owner,
  { step, steps, leaseUntil }: { step: string; steps: Step[]; leaseUntil: number },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({ step, steps: JSON.stringify(steps), lease_until: leaseUntil })
    .where('id', '=', id)
    .where('state', '=', 'running')
    .where('host', '=', host)
    .where('incarnation', '=', incarnation)
    .where('cancel_requested', '=', 0)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** The owner is alive: renews its hold on these operations, and answers with those that are its own (true: to be cancelled). */
export async function renewLeases(
  db: Db,
  { host, incarnation }: Owner,
  ids: readonly string[],
  leaseUntil: number,
): Promise<Map<string, boolean>> {
  if (ids.length === 0) return new Map()
  await db
    .updateTable('operations')
    .set({ lease_until: leaseUntil })
    .where('id', 'in', ids)
    .where('state', '=', 'running')
    .where('host', '=', host)
    .where('incarnation', '=', incarnation)
    .execute()
  const rows = await db
    .selectFrom('operations')
    .select(['id', 'cancel_requested'])
    .where('id', 'in', ids)
    .where('state', '=', 'running')
    .where('host', '=', host)
    .where('incarnation', '=', incarnation)
    .execute()
  return new Map(rows.map((row) => [row.id, row.cancel_requested === 1]))
}

/** The owner goes: what it holds may be taken at once. */
export async function dropLeases(db: Db, { host, incarnation }: Owner, now: number): Promise<void> {
  await db
    .updateTable('operations')
    .set({ lease_until: now })
    .where('state', '=', 'running')
    .where('host', '=', host)
    .where('incarnation', '=', incarnation)
    .execute()
}

/** Ends an operation: as long as it is open and, where that is given, still queued or this owner's. */
export async function closeOperation(
  db: Db,
  id: string,
  {
    state,
    fault,
    now,
    by,
  }: {
    state: 'succeeded' | 'failed' | 'cancelled'
    fault: Fault | undefined
    now: number
    by: Owner | 'queued' | 'anyone'
  },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({
      state,
      open_instance_id: null,
      lease_until: null,
      fault: fault === undefined ? null : JSON.stringify(fault),
      finished_at: now,
    })
    .where('id', '=', id)
    .where('open_instance_id', 'is not', null)
    .$if(by === 'queued', (q) => q.where('state', '=', 'queued'))
    .$if(typeof by === 'object', (q) =>
      q
        .where('state', '=', 'running')
        .where('host', '=', (by as Owner).host)
        .where('incarnation', '=', (by as Owner).incarnation),
    )
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** Asks the owner of a running operation to end it. */
export async function requestCancel(db: Db, id: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({ cancel_requested: 1 })
    .where('id', '=', id)
    .where('state', '=', 'running')
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** A boot that failed on its host goes back to be placed elsewhere. */
export async function requeueBoot(db: Db, id: string, owner: Owner, args: BootArgs, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({
      state: 'queued',
      host: null,
      incarnation: null,
      lease_until: null,
      step: 'place',
      args: JSON.stringify(args),
      dispatched_at: now,
    })
    .where('id', '=', id)
    .where('state', '=', 'running')
    .where('host', '=', owner.host)
    .where('incarnation', '=', owner.incarnation)
    .where('cancel_requested', '=', 0)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** Its message goes out again; only one conductor can win this. */
export async function noteDispatch(db: Db, id: string, seen: number | undefined, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set({ dispatched_at: now })
    .where('id', '=', id)
    .where('open_instance_id', 'is not', null)
    .where('dispatched_at', seen === undefined ? 'is' : '=', seen ?? null)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** Takes a boot back that could not even be told to a scheduler: true where nothing had come of it yet. */
export async function removeQueuedBoot(
  db: Db,
  { id, instanceId }: { id: string; instanceId: string },
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('operations')
    .where('id', '=', id)
    .where('state', '=', 'queued')
    .where('host', 'is', null)
    .executeTakeFirst()
  if (numDeletedRows !== 1n) return false
  await db.deleteFrom('instances').where('id', '=', instanceId).where('host', 'is', null).execute()
  return true
}

/** An open operation as the sweeper sees it. */
export type Open = {
  id: string
  kind: string
  state: 'queued' | 'running'
  instanceId: string
  host: string | undefined
  step: string | undefined
  requestId: string
  projectId: string
  userId: string
  deadline: number
  dispatchedAt: number | undefined
}

/** A message goes out again after `resendMs` at first, then after twice as long each time, up to this many times that. */
const resendMaxTimes = 6

/**
 * Open operations that need attention: past their deadline, queued with no claim for a while after their last message, or
 * running on a lapsed lease. Those that waited longest first.
 */
export async function dueOperations(
  db: Db,
  { now, resendMs, limit }: { now: number; resendMs: number; limit: number },
): Promise<Open[]> {
  const rows = await db
    .selectFrom('operations')
    .select(['id', 'kind', 'state', 'instance_id', 'host', 'request_id', 'project_id', 'user_id', 'deadline'])
    .select(['dispatched_at', 'step'])
    .where('state', 'in', ['queued', 'running'])
    .where(({ eb, and, or }) => {
      // dispatched − created ≤ now − dispatched: it has waited as long again as before its last message.
      const patience = eb(
        eb('dispatched_at', '+', eb.ref('dispatched_at')),
        '<=',
        eb(eb.val(now), '+', eb.ref('created_at')),
      )
      const silent = and([
        eb('dispatched_at', '<=', now - resendMs),
        or([patience, eb('dispatched_at', '<=', now - resendMs * resendMaxTimes)]),
      ])
      return or([
        eb('deadline', '<', now),
        and([eb('state', '=', 'queued'), silent]),
        and([eb('state', '=', 'running'), eb('lease_until', '<', now), eb('dispatched_at', '<=', now - resendMs)]),
      ])
    })
    .orderBy('dispatched_at')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    state: row.state as 'queued' | 'running',
    instanceId: row.instance_id,
    host: row.host ?? undefined,
    step: row.step ?? undefined,
    requestId: row.request_id,
    projectId: row.project_id,
    userId: row.user_id,
    deadline: row.deadline,
    dispatchedAt: row.dispatched_at ?? undefined,
  }))
}

/** The ids of the open operations that a host should take up, oldest first. */
export async function openOperationsOn(db: Db, host: string): Promise<string[]> {
  const rows = await db
    .selectFrom('operations')
    .select('id')
    .where('state', 'in', ['queued', 'running'])
    .where('host', '=', host)
    .orderBy('created_at')
    .execute()
  return rows.map(({ id }) => id)
}
