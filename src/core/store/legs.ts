import type { Selectable } from 'kysely'
import type { Progress, Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { inStatements, insertRows } from '../db/insert.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import type { Role, Service } from '../model/operation.ts'

/**
 * Where a leg of an open operation stands: `queued`, nobody has claimed it; `running`, its executor holds a lease; `idle`, it
 * has nothing to do at this stage. The same two for a leg that is being undone.
 */
export type LegState = 'queued' | 'running' | 'undo-queued' | 'undo-running' | 'idle'

/** Who takes part in an open operation: a service on a host (an empty host: any scheduler), as what, and how far it is. */
export type Leg = {
  service: Service
  host: string
  role: Role
  state: LegState
  incarnation: string | undefined
  leaseUntil: number | undefined
  /** The step that this executor has come to, or is undoing. */
  step: string | undefined
  steps: Step[]
  attempt: number
  progress: Progress | undefined
  dispatchedAt: number
}

/** A leg of an operation. */
export type LegKey = { operation: string; service: Service; host: string }

type Row = Selectable<Database['operation_hosts']>

/** A step as the table keeps it, a line each: so that one is added without reading those that are there. */
export const line = (step: Step): string => `${JSON.stringify(step)}\n`
const linesOf = (text: string): Step[] =>
  text
    .split('\n')
    .filter((part) => part !== '')
    .map((part) => JSON.parse(part) as Step)

/** A row as the engine knows it. */
const toLeg = (row: Omit<Row, 'operation_id' | 'queued_at'>): Leg => ({
  service: row.service as Service,
  host: row.host,
  role: row.role as Role,
  state: row.state as LegState,
  incarnation: row.incarnation ?? undefined,
  leaseUntil: row.lease_until ?? undefined,
  step: row.step ?? undefined,
  steps: linesOf(row.steps),
  attempt: row.attempt,
  progress: row.progress === null ? undefined : (JSON.parse(row.progress) as Progress),
  dispatchedAt: row.dispatched_at,
})

/** The columns of a leg `l` that is joined to its operation, which has columns of the same names. */
export const legColumns = [
  'l.service as leg_service',
  'l.host as leg_host',
  'l.role as leg_role',
  'l.state as leg_state',
  'l.incarnation as leg_incarnation',
  'l.lease_until as leg_lease_until',
  'l.step as leg_step',
  'l.steps as leg_steps',
  'l.attempt as leg_attempt',
  'l.progress as leg_progress',
  'l.dispatched_at as leg_dispatched_at',
  'l.queued_at as leg_queued_at',
] as const

type Joined = {
  [K in Exclude<keyof Row, 'operation_id'> as `leg_${K}`]: Row[K] | null
}

/** The leg in a row with {@link legColumns}; undefined if none was joined. */
export const joinedLeg = (row: Joined): Leg | undefined =>
  row.leg_service === null
    ? undefined
    : toLeg({
        service: row.leg_service,
        host: row.leg_host as string,
        role: row.leg_role as string,
        state: row.leg_state as string,
        incarnation: row.leg_incarnation,
        lease_until: row.leg_lease_until,
        step: row.leg_step,
        steps: row.leg_steps as string,
        attempt: row.leg_attempt as number,
        progress: row.leg_progress,
        dispatched_at: row.leg_dispatched_at as number,
      })

/**
 * The legs in the rows of one operation with {@link legColumns}, the one that has waited longest first. Sorted here: a server
 * that sorts rows with long texts makes a table of them first.
 */
export const joinedLegs = (rows: readonly Joined[]): Leg[] =>
  rows.toSorted((a, b) => (a.leg_queued_at ?? 0) - (b.leg_queued_at ?? 0)).flatMap((row) => joinedLeg(row) ?? [])

/** The legs of one operation, the one that has waited longest first. */
export async function legsOfOperation(db: Db, operation: string): Promise<Leg[]> {
  const rows = await db
    .selectFrom('operation_hosts')
    .selectAll()
    .where('operation_id', '=', operation)
    .orderBy('queued_at')
    .execute()
  return rows.map(toLeg)
}

/** The legs of several operations, by operation. */
export async function legsOf(db: Db, operations: readonly string[]): Promise<Map<string, Leg[]>> {
  const found = new Map<string, Leg[]>()
  for (let start = 0; start < operations.length; start += 500) {
    const rows = await db
      .selectFrom('operation_hosts')
      .selectAll()
      .where('operation_id', 'in', operations.slice(start, start + 500))
      .execute()
    for (const row of rows) found.set(row.operation_id, [...(found.get(row.operation_id) ?? []), toLeg(row)])
  }
  return found
}

/** Adds legs that wait to be claimed. */
export async function addLegs(
  db: Db,
  legs: ReadonlyArray<LegKey & { role: Role; state?: LegState }>,
  now: number,
): Promise<void> {
  for (const chunk of inStatements(legs))
    await insertRows(
      db,
      'operation_hosts',
      chunk.map(({ operation, service, host, role, state = 'queued' }) => ({
        operation_id: operation,
        service,
        host,
        role,
        state,
        incarnation: null,
        lease_until: null,
        step: null,
        steps: '',
        attempt: 0,
        progress: null,
        queued_at: now,
        // Its message goes out right after the commit; the sweeper need not look at it before it is late.
        dispatched_at: now,
      })),
    )
}

/** A query of the row of one leg. */
export const ofLeg = <Q extends { where(column: never, op: never, value: never): Q }>(query: Q, key: LegKey): Q =>
  query
    .where('operation_id' as never, '=' as never, key.operation as never)
    .where('service' as never, '=' as never, key.service as never)
    .where('host' as never, '=' as never, key.host as never)

/** Opens a leg that has been idle, or is to be claimed once more. */
export async function queueLeg(db: Db, key: LegKey, state: 'queued' | 'undo-queued', now: number): Promise<void> {
  await ofLeg(
    db.updateTable('operation_hosts').set({
      state,
      incarnation: null,
      lease_until: null,
      step: null,
      progress: null,
      queued_at: now,
      dispatched_at: now,
    }),
    key,
  ).execute()
}

/** Puts a leg to rest, whoever holds it: it has nothing to do any more. */
export async function restLeg(db: Db, key: LegKey): Promise<void> {
  await ofLeg(
    db.updateTable('operation_hosts').set({ state: 'idle', incarnation: null, lease_until: null, progress: null }),
    key,
  ).execute()
}

/**
 * The schedulers' leg becomes that of the host that was chosen, and waits to be claimed there. False if nothing waits for a
 * scheduler any more.
 */
export async function placeLeg(
  db: Db,
  operation: string,
  { service, host, role, step, now }: { service: Service; host: string; role: Role; step: Step; now: number },
): Promise<boolean> {
  const { numAffectedRows } = await placeQueued(db, { operation, service, host, role, steps: line(step), now })
  return numAffectedRows === 1n
}

type Placed = { operation: string; service: Service; host: string; role: Role; steps: string; now: number }

const placeQueued = prepared((db: Db, { operation, service, host, role, steps, now }: Placed) =>
  ofLeg(db.updateTable('operation_hosts').set({ service, host, role, steps, queued_at: now, dispatched_at: now }), {
    operation,
    service: 'scheduler',
    host: '',
  }).where('state', '=', 'queued'),
)

/** Takes a leg away; its steps are kept with the operation by the caller. */
export async function removeLeg(db: Db, key: LegKey): Promise<void> {
  await ofLeg(db.deleteFrom('operation_hosts'), key).execute()
}

/** The ids of the open operations that have a leg for this host to take up, the oldest first. */
export async function openOperationsOn(db: Db, service: Service, host: string): Promise<string[]> {
  const rows = await db
    .selectFrom('operation_hosts')
    .select('operation_id')
    .where('host', '=', host)
    .where('service', '=', service)
    .where('state', '!=', 'idle')
    .orderBy('queued_at')
    .execute()
  return rows.map((row) => row.operation_id)
}
