import { sql } from 'kysely'
import type { RequestSpec } from '../contracts/scheduler.ts'
import type { Decision, Event, Fault, Step } from '../contracts/shapes.ts'
import { locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { tx } from '../db/tx.ts'
import type { Size } from '../model/instance.ts'
import { saveDecision } from './decisions.ts'
import { addEvents } from './events.ts'
import { silentMsOf } from './services.ts'

/** A host as placement sees it: `service` is absent where its compute daemon was never heard of. */
export type HostRoom = {
  name: string
  availabilityZone: string
  total: Size
  used: Size
  instances: number
  failedAt: number | undefined
  service:
    | { disabled: boolean; disabledReason: string | undefined; seenAt: number; silentMs: number | undefined }
    | undefined
}

/** A boot that waits for a host. */
export type Placement = {
  operationId: string
  instanceId: string
  instanceName: string
  projectId: string
  requestId: string
  spec: RequestSpec
  /** Why each of `wish.excluded` is excluded, in the same order. */
  faults: Fault[]
}

/** What the `args` of a boot hold. */
export type BootArgs = {
  image: string
  flavor: string
  excluded: string[]
  faults: Fault[]
  /** The caller named the host: no other will do. */
  forced: boolean
}

/** All hosts with what they have, what is promised of it, and how their service does. One query. */
export async function hostsForPlacement(db: Db): Promise<HostRoom[]> {
  const rows = await db
    .selectFrom('hosts as h')
    .leftJoin('services as s', (join) => join.onRef('s.host', '=', 'h.name').on('s.binary', '=', 'compute'))
    .select([
      'h.name',
      'h.availability_zone',
      'h.total_vcpus',
      'h.total_memory_mb',
      'h.total_disk_gb',
      'h.used_vcpus',
      'h.used_memory_mb',
      'h.used_disk_gb',
      'h.instances',
      'h.failed_at',
      's.disabled',
      's.disabled_reason',
      's.seen_at',
      's.reported_by',
      's.silent_ms',
      's.incarnation',
    ])
    .orderBy('h.name')
    .execute()
  return rows.map((row) => ({
    name: row.name,
    availabilityZone: row.availability_zone,
    total: { vcpus: row.total_vcpus, memoryMb: row.total_memory_mb, diskGb: row.total_disk_gb },
    used: { vcpus: row.used_vcpus, memoryMb: row.used_memory_mb, diskGb: row.used_disk_gb },
    instances: row.instances,
    failedAt: row.failed_at ?? undefined,
    service:
      row.seen_at === null
        ? undefined
        : {
            disabled: row.disabled === 1,
            disabledReason: row.disabled_reason ?? undefined,
            seenAt: row.seen_at,
            silentMs: silentMsOf({ ...row, incarnation: row.incarnation ?? '' }),
          },
  }))
}

/** On which hosts these instances are; those without a host are left out. */
export async function hostsOfInstances(db: Db, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await db.selectFrom('instances').select(['id', 'host']).where('id', 'in', ids).execute()
  return new Map(rows.flatMap(({ id, host }) => (host === null ? [] : [[id, host] as const])))
}

/** What a queued boot without a host asks for; undefined where there is nothing (any more) to place. */
export async function placementFor(db: Db, operationId: string): Promise<Placement | undefined> {
  const row = await db
    .selectFrom('operations as o')
    .innerJoin('instances as i', 'i.id', 'o.instance_id')
    .select([
      'o.instance_id',
      'o.args',
      'o.request_id',
      'i.name',
      'i.project_id',
      'i.vcpus',
      'i.memory_mb',
      'i.disk_gb',
    ])
    .select(['i.hints', 'i.availability_zone', 'i.forced_host'])
    .where('o.id', '=', operationId)
    .where('o.kind', '=', 'boot')
    .where('o.state', '=', 'queued')
    .where('i.host', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const { excluded, faults } = JSON.parse(row.args) as BootArgs
  return {
    operationId,
    instanceId: row.instance_id,
    instanceName: row.name,
    projectId: row.project_id,
    requestId: row.request_id,
    faults,
    spec: {
      projectId: row.project_id,
      size: { vcpus: row.vcpus, memoryMb: row.memory_mb, diskGb: row.disk_gb },
      hints: JSON.parse(row.hints) as Record<string, string>,
      ...(row.availability_zone === null ? {} : { availabilityZone: row.availability_zone }),
      ...(row.forced_host === null ? {} : { forcedHost: row.forced_host }),
      excluded,
    },
  }
}

/** Thrown inside a transaction to take back what it has done so far. */
const full = Symbol('full')

/**
 * Takes room on a host for an instance, in one transaction: `claimed`; `full` where what is left (of `limits`, which is
 * what the host may promise in all) is too little by now; `gone` where the operation is no longer waiting for a host.
 */
export async function claimHost(
  db: Db,
  claim: {
    operationId: string
    instanceId: string
    host: string
    size: Size
    limits: Size
    now: number
    /** Kept in the same transaction. */
    decision?: Decision
  },
): Promise<'claimed' | 'full' | 'gone'> {
  const { operationId, instanceId, host, size, limits, now, decision } = claim
  try {
    return await tx(db, async (db) => {
      // Every transaction that changes an instance locks it first, then its operation, then its host.
      const instance = await locked(
        db,
        db.selectFrom('instances').select('host').where('id', '=', instanceId),
      ).executeTakeFirst()
      const operation = await locked(
        db,
        db.selectFrom('operations').select(['state', 'steps', 'attempt', 'instance_id']).where('id', '=', operationId),
      ).executeTakeFirst()
      if (operation?.state !== 'queued' || operation.instance_id !== instanceId || instance?.host !== null)
        return 'gone'
      if (!(await takeRoom(db, host, size, limits))) throw full
      const steps = JSON.parse(operation.steps) as Step[]
      steps.push({ name: 'place', at: now, attempt: operation.attempt + 1, host })
      await db
        .updateTable('operations')
        .set({ host, step: 'place', steps: JSON.stringify(steps), dispatched_at: now })
        .where('id', '=', operationId)
        .execute()
      await db
        .updateTable('instances')
        .set(({ eb }) => ({ host, generation: eb('generation', '+', 1), updated_at: now }))
        .where('id', '=', instanceId)
        .execute()
      if (decision) await saveDecision(db, { operationId, instanceId, decision })
      return 'claimed'
    })
  } catch (e) {
    if (e === full) return 'full'
    throw e
  }
}

/** The guarded update: the one place where a host's counters grow. */
async function takeRoom(db: Db, host: string, size: Size, limits: Size): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('hosts')
    .set(({ eb }) => ({
      used_vcpus: eb('used_vcpus', '+', size.vcpus),
      used_memory_mb: eb('used_memory_mb', '+', size.memoryMb),
      used_disk_gb: eb('used_disk_gb', '+', size.diskGb),
      instances: eb('instances', '+', 1),
    }))
    .where('name', '=', host)
    .where('used_vcpus', '<=', limits.vcpus - size.vcpus)
    .where('used_memory_mb', '<=', limits.memoryMb - size.memoryMb)
    .where('used_disk_gb', '<=', limits.diskGb - size.diskGb)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** The one place where a host's counters shrink: its instance is gone, or goes elsewhere. Part of a transaction. */
export async function freeRoom(db: Db, host: string, size: Size): Promise<void> {
  await db
    .updateTable('hosts')
    .set(({ eb }) => ({
      used_vcpus: eb('used_vcpus', '-', size.vcpus),
      used_memory_mb: eb('used_memory_mb', '-', size.memoryMb),
      used_disk_gb: eb('used_disk_gb', '-', size.diskGb),
      instances: eb('instances', '-', 1),
    }))
    .where('name', '=', host)
    .execute()
}

/**
 * Gives back what {@link claimHost} took, where the host turned out to be silent before it claimed the operation: the boot
 * waits for another host. Answers false where the operation is past that already.
 */
export async function releaseHost(
  db: Db,
  { operationId, host, now }: { operationId: string; host: string; now: number },
): Promise<boolean> {
  const found = await db.selectFrom('operations').select('instance_id').where('id', '=', operationId).executeTakeFirst()
  if (!found) return false
  return tx(db, async (db) => {
    const instance = await locked(
      db,
      db.selectFrom('instances').select(['vcpus', 'memory_mb', 'disk_gb']).where('id', '=', found.instance_id),
    ).executeTakeFirst()
    const operation = await locked(
      db,
      db
        .selectFrom('operations')
        .select('id')
        .where('id', '=', operationId)
        .where('kind', '=', 'boot')
        .where('state', '=', 'queued')
        .where('host', '=', host),
    ).executeTakeFirst()
    if (!operation || !instance) return false
    await db.updateTable('operations').set({ host: null, dispatched_at: now }).where('id', '=', operationId).execute()
    await db.updateTable('instances').set({ host: null, updated_at: now }).where('id', '=', found.instance_id).execute()
    await freeRoom(db, host, { vcpus: instance.vcpus, memoryMb: instance.memory_mb, diskGb: instance.disk_gb })
    return true
  })
}

/**
 * Ends a boot that no host can take: the operation fails, the instance rests in ERROR, the decision says why. Answers with
 * the event to publish after; undefined where the operation is no longer waiting for a host.
 */
export async function refusePlacement(
  db: Db,
  { placement, fault, decision, now }: { placement: Placement; fault: Fault; decision: Decision; now: number },
): Promise<Event | undefined> {
  const { operationId, instanceId, instanceName, projectId, requestId } = placement
  const record = JSON.stringify(fault)
  return tx(db, async (db) => {
    await locked(db, db.selectFrom('instances').select('id').where('id', '=', instanceId)).executeTakeFirst()
    const { numUpdatedRows } = await db
      .updateTable('operations')
      .set({ state: 'failed', open_instance_id: null, step: 'place', fault: record, finished_at: now })
      .where('id', '=', operationId)
      .where('state', '=', 'queued')
      .where('host', 'is', null)
      .executeTakeFirst()
    if (numUpdatedRows !== 1n) return undefined
    await db
      .updateTable('instances')
      .set({ state: 'ERROR', fault: record, updated_at: now })
      .where('id', '=', instanceId)
      .execute()
    await saveDecision(db, { operationId, instanceId, decision })
    const draft = {
      at: now,
      type: 'instance.create.error',
      instanceId,
      instanceName,
      operationId,
      requestId,
      projectId,
    }
    const [event] = await addEvents(db, [{ ...draft, message: fault.message }])
    return event
  })
}

/** A host whose counters are not the sums over its instances: always a bug of ours (invariant I3). */
export type Drift = { host: string; counted: Size & { instances: number }; summed: Size & { instances: number } }

/** Compares each host's counters with the sums over its instances. One query. */
export async function capacityDrift(db: Db): Promise<Drift[]> {
  const rows = await db
    .selectFrom('hosts as h')
    .leftJoin('instances as i', 'i.host', 'h.name')
    .groupBy(['h.name', 'h.used_vcpus', 'h.used_memory_mb', 'h.used_disk_gb', 'h.instances'])
    .select(['h.name', 'h.used_vcpus', 'h.used_memory_mb', 'h.used_disk_gb', 'h.instances'])
    .select(({ fn }) => [
      fn.count('i.id').as('count'),
      sql<number>`coalesce(sum(i.vcpus), 0)`.as('vcpus'),
      sql<number>`coalesce(sum(i.memory_mb), 0)`.as('memory_mb'),
      sql<number>`coalesce(sum(i.disk_gb), 0)`.as('disk_gb'),
    ])
    .execute()
  return rows
    .map((row) => ({
      host: row.name,
      counted: sizeWith(row.used_vcpus, row.used_memory_mb, row.used_disk_gb, row.instances),
      summed: sizeWith(Number(row.vcpus), Number(row.memory_mb), Number(row.disk_gb), Number(row.count)),
    }))
    .filter(({ counted, summed }) => JSON.stringify(counted) !== JSON.stringify(summed))
}

const sizeWith = (vcpus: number, memoryMb: number, diskGb: number, instances: number) => ({
  vcpus,
  memoryMb,
  diskGb,
  instances,
})
