import { sql } from 'kysely'
import type { Progress, Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Service } from '../model/operation.ts'
import { type Leg, type LegKey, type LegState, line, ofLeg } from './legs.ts'

/** Who holds a leg: a service of a host, in one life of its daemon. */
export type Owner = { service: Service; host: string; incarnation: string }

/**
 * An executor takes a leg; `seen` is how it looked before. Only who saw it as it is may take it: a leg that waits may go
 * elsewhere meanwhile, and its work would be done twice.
 */
export async function takeLeg(
  db: Db,
  key: LegKey,
  seen: Pick<Leg, 'state' | 'attempt' | 'incarnation'>,
  taken: { incarnation: string; leaseUntil: number; attempt: number; step: Step; isNew: boolean },
): Promise<boolean> {
  const { incarnation, leaseUntil, attempt, step, isNew } = taken
  const { numAffectedRows } = await takeSeen(db, {
    ...key,
    state: seen.state.startsWith('undo') ? 'undo-running' : 'running',
    incarnation,
    leaseUntil,
    attempt,
    step: step.name,
    ...(isNew ? { entry: line(step) } : {}),
    seenState: seen.state,
    seenAttempt: seen.attempt,
    ...(seen.incarnation === undefined ? {} : { seenIncarnation: seen.incarnation }),
  })
  return numAffectedRows === 1n
}

type Taking = LegKey & { state: LegState; incarnation: string; leaseUntil: number; attempt: number; step: string } & {
  entry?: string
  seenState: LegState
  seenAttempt: number
  seenIncarnation?: string
}

const takeSeen = prepared((db: Db, v: Taking) =>
  ofLeg(
    db.updateTable('operation_hosts').set({
      state: v.state,
      incarnation: v.incarnation,
      lease_until: v.leaseUntil,
      attempt: v.attempt,
      step: v.step,
      ...(v.entry === undefined ? {} : { steps: sql<string>`concat(steps, ${v.entry})` }),
    }),
    v,
  )
    .where('state', '=', v.seenState)
    .where('attempt', '=', v.seenAttempt)
    .where('incarnation', v.seenIncarnation === undefined ? 'is' : '=', v.seenIncarnation ?? null),
)

/**
 * The executor that holds the leg has come to a step; its lease is renewed. False if it does not hold the leg and, going
 * forward, also if the operation is to be cancelled or is being undone.
 */
export async function recordStep(
  db: Db,
  { incarnation, ...key }: LegKey & { incarnation: string },
  { step, undo, leaseUntil }: { step: Step; undo: boolean; leaseUntil: number },
): Promise<boolean> {
  const reach = undo ? reachUndoing : reachForward
  const { numAffectedRows } = await reach(db, { ...key, incarnation, name: step.name, entry: line(step), leaseUntil })
  return numAffectedRows === 1n
}

const reachStep = (undo: boolean) =>
  prepared((db: Db, v: LegKey & { incarnation: string; name: string; entry: string; leaseUntil: number }) =>
    ofLeg(
      db.updateTable('operation_hosts').set(({ eb, ref }) => ({
        // Said twice, because the answer was lost: it is the same step.
        steps: eb
          .case()
          .when('step', '=', v.name)
          .then(ref('steps'))
          .else(sql<string>`concat(steps, ${v.entry})`)
          .end(),
        step: v.name,
        lease_until: v.leaseUntil,
      })),
      v,
    )
      .where('state', '=', undo ? 'undo-running' : 'running')
      .where('incarnation', '=', v.incarnation)
      .$if(!undo, (q) =>
        q.where(({ exists, selectFrom }) =>
          exists(
            selectFrom('operations')
              .select('id')
              .where('id', '=', v.operation)
              .where('cancel_requested', '=', 0)
              .where('undoing', '=', 0),
          ),
        ),
      ),
  )
const reachForward = reachStep(false)
const reachUndoing = reachStep(true)

/**
 * The owner is alive: renews its hold on the legs of these operations. Answers with those that it holds; true: it is to
 * stop going forward, because the operation is to be cancelled or is being undone.
 */
export async function renewLeases(
  db: Db,
  owner: Owner,
  held: ReadonlyArray<{ id: string; progress?: Progress | undefined }>,
  leaseUntil: number,
): Promise<Map<string, boolean>> {
  if (held.length === 0) return new Map()
  const { service, host, incarnation } = owner
  const ids = held.map(({ id }) => id)
  await leaseUntilOf(db, owner, leaseUntil).where('operation_id', 'in', ids).execute()
  for (const { id, progress } of held) {
    if (progress === undefined) continue
    await ofLeg(db.updateTable('operation_hosts').set({ progress: JSON.stringify(progress) }), {
      operation: id,
      service,
      host,
    })
      .where('state', '=', 'running')
      .where('incarnation', '=', incarnation)
      .execute()
  }
  const rows = await db
    .selectFrom('operation_hosts as l')
    .innerJoin('operations as o', 'o.id', 'l.operation_id')
    .select(['o.id', 'o.cancel_requested', 'o.undoing', 'l.state'])
    .where('l.operation_id', 'in', ids)
    .where('l.service', '=', service)
    .where('l.host', '=', host)
    .where('l.state', 'in', ['running', 'undo-running'])
    .where('l.incarnation', '=', incarnation)
    .execute()
  return new Map(
    rows.map((row) => [row.id, row.state === 'running' && (row.cancel_requested === 1 || row.undoing === 1)]),
  )
}

/** The owner goes: what it holds may be taken at once. */
export async function dropLeases(db: Db, owner: Owner, now: number): Promise<void> {
  await leaseUntilOf(db, owner, now).execute()
}

/** An update of the lease on all that an owner holds. */
const leaseUntilOf = (db: Db, { service, host, incarnation }: Owner, until: number) =>
  db
    .updateTable('operation_hosts')
    .set({ lease_until: until })
    .where('service', '=', service)
    .where('host', '=', host)
    .where('state', 'in', ['running', 'undo-running'])
    .where('incarnation', '=', incarnation)

/** The executor has done its part of this stage. False if it does not hold the leg. */
export async function idleLeg(db: Db, { incarnation, ...key }: LegKey & { incarnation: string }): Promise<boolean> {
  const { numUpdatedRows } = await ofLeg(
    db.updateTable('operation_hosts').set({ state: 'idle', incarnation: null, lease_until: null, progress: null }),
    key,
  )
    .where('state', 'in', ['running', 'undo-running'])
    .where('incarnation', '=', incarnation)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** The executor that holds the leg goes on with undoing it. False if it does not hold the leg. */
export async function turnLeg(db: Db, { incarnation, ...key }: LegKey & { incarnation: string }): Promise<boolean> {
  const { numUpdatedRows } = await ofLeg(
    db.updateTable('operation_hosts').set({ state: 'undo-running', step: null, progress: null }),
    key,
  )
    .where('state', '=', 'running')
    .where('incarnation', '=', incarnation)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}
