import type { Db } from '../db/handle.ts'
import type { OperationKind, Service } from '../model/operation.ts'
import { type LegKey, type LegState, ofLeg } from './legs.ts'

/** A leg as the sweeper sees it, with what a message about it needs. */
export type DueLeg = {
  operation: string
  kind: OperationKind
  service: Service
  host: string
  state: LegState
  requestId: string
  projectId: string
  userId: string
  dispatchedAt: number
}

/** A message goes out again after `resendMs` at first, then after twice as long each time, up to this many times that. */
const resendMaxTimes = 6

/**
 * Legs whose message is to go out again: queued with no claim for a while after their last message, or running on a lapsed
 * lease. Those that waited longest first.
 */
export async function dueLegs(
  db: Db,
  { now, resendMs, limit }: { now: number; resendMs: number; limit: number },
): Promise<DueLeg[]> {
  const rows = await db
    .selectFrom('operation_hosts as l')
    .innerJoin('operations as o', 'o.id', 'l.operation_id')
    .select(['o.id', 'o.kind', 'l.service', 'l.host', 'l.state', 'o.request_id', 'o.project_id', 'o.user_id'])
    .select('l.dispatched_at')
    .where('l.state', '!=', 'idle')
    .where('l.dispatched_at', '<=', now - resendMs)
    .where(({ eb, and, or }) => {
      // dispatched − queued ≤ now − dispatched: it has waited as long again as before its last message.
      const waitedAsLong = eb(
        eb('l.dispatched_at', '+', eb.ref('l.dispatched_at')),
        '<=',
        eb(eb.val(now), '+', eb.ref('l.queued_at')),
      )
      return or([
        and([
          eb('l.state', 'in', ['queued', 'undo-queued']),
          or([waitedAsLong, eb('l.dispatched_at', '<=', now - resendMs * resendMaxTimes)]),
        ]),
        and([eb('l.state', 'in', ['running', 'undo-running']), eb('l.lease_until', '<', now)]),
      ])
    })
    .orderBy('l.dispatched_at')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    operation: row.id,
    kind: row.kind as OperationKind,
    service: row.service as Service,
    host: row.host,
    state: row.state as LegState,
    requestId: row.request_id,
    projectId: row.project_id,
    userId: row.user_id,
    dispatchedAt: row.dispatched_at,
  }))
}

/** The message of a leg goes out again; only one conductor can win this. */
export async function recordDispatch(db: Db, key: LegKey, seen: number, now: number): Promise<boolean> {
  const { numUpdatedRows } = await ofLeg(db.updateTable('operation_hosts').set({ dispatched_at: now }), key)
    .where('state', '!=', 'idle')
    .where('dispatched_at', '=', seen)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}
