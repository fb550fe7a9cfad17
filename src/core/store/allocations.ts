import { sql } from 'kysely'
import type { Db } from '../db/handle.ts'
import { insertRows } from '../db/insert.ts'
import { prepared } from '../db/prepared.ts'
import type { Size } from '../model/instance.ts'

/**
 * Room on a host that an instance holds. `current`: where the instance is; `target`: where it is going; `residue`: where it
 * was, until that host has cleaned up.
 */
export type AllocationRole = 'current' | 'target' | 'residue'
export type Allocation = { instanceId: string; host: string; role: AllocationRole; size: Size }

/**
 * Takes room on a host for an instance: the guarded update is the one place where a host's counters grow. `limits` is what
 * the host may promise in all. False if what is left is too little by now. Part of a transaction.
 */
export async function allocate(
  db: Db,
  { instanceId, host, role, size }: Allocation,
  limits: Size,
  now: number,
): Promise<boolean> {
  const { vcpus, memoryMb, diskGb } = size
  const { numAffectedRows } = await takeRoom(db, {
    host,
    vcpus,
    memoryMb,
    diskGb,
    vcpusMax: limits.vcpus - vcpus,
    memoryMbMax: limits.memoryMb - memoryMb,
    diskGbMax: limits.diskGb - diskGb,
  })
  if (numAffectedRows !== 1n) return false
  await insertRows(db, 'allocations', [
    { instance_id: instanceId, host, role, vcpus, memory_mb: memoryMb, disk_gb: diskGb, created_at: now },
  ])
  return true
}

type Taking = Size & { host: string; vcpusMax: number; memoryMbMax: number; diskGbMax: number }

const takeRoom = prepared((db: Db, v: Taking) =>
  db
    .updateTable('hosts')
    .set(({ eb }) => ({
      used_vcpus: eb('used_vcpus', '+', v.vcpus),
      used_memory_mb: eb('used_memory_mb', '+', v.memoryMb),
      used_disk_gb: eb('used_disk_gb', '+', v.diskGb),
      instances: eb('instances', '+', 1),
    }))
    .where('name', '=', v.host)
    .where('used_vcpus', '<=', v.vcpusMax)
    .where('used_memory_mb', '<=', v.memoryMbMax)
    .where('used_disk_gb', '<=', v.diskGbMax),
)

/** All room that an instance holds. */
export async function allocationsOf(db: Db, instanceId: string): Promise<Allocation[]> {
  const rows = await db
    .selectFrom('allocations')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .orderBy('created_at')
    .execute()
  return rows.map((row) => ({
    instanceId: row.instance_id,
    host: row.host,
    role: row.role as AllocationRole,
    size: { vcpus: row.vcpus, memoryMb: row.memory_mb, diskGb: row.disk_gb },
  }))
}

/** Gives room back: the one place where a host's counters shrink. Part of a transaction; of what is not there, nothing. */
export async function release(db: Db, allocations: readonly Allocation[]): Promise<void> {
  for (const { instanceId, host, role, size } of allocations) {
    const { numDeletedRows } = await db
      .deleteFrom('allocations')
      .where('instance_id', '=', instanceId)
      .where('host', '=', host)
      .where('role', '=', role)
      .executeTakeFirst()
    if (numDeletedRows !== 1n) continue
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
}

/** The room that an instance holds on a host is held as something else from now on. */
export async function changeRole(db: Db, instanceId: string, host: string, role: AllocationRole): Promise<void> {
  await db
    .updateTable('allocations')
    .set({ role })
    .where('instance_id', '=', instanceId)
    .where('host', '=', host)
    .execute()
}

/** Of these instances, what a host still holds of them though they are elsewhere. */
export async function residueOn(db: Db, host: string, instanceIds: readonly string[]): Promise<Allocation[]> {
  const found: Allocation[] = []
  for (let start = 0; start < instanceIds.length; start += 500) {
    const rows = await db
      .selectFrom('allocations')
      .selectAll()
      .where('host', '=', host)
      .where('role', '=', 'residue')
      .where('instance_id', 'in', instanceIds.slice(start, start + 500))
      .execute()
    for (const row of rows)
      found.push({
        instanceId: row.instance_id,
        host: row.host,
        role: 'residue',
        size: { vcpus: row.vcpus, memoryMb: row.memory_mb, diskGb: row.disk_gb },
      })
  }
  return found
}

/** The instances of which a host is to clean up what it still holds. */
export async function residueOfHost(db: Db, host: string): Promise<string[]> {
  const rows = await db
    .selectFrom('allocations')
    .select('instance_id')
    .where('host', '=', host)
    .where('role', '=', 'residue')
    .execute()
  return rows.map((row) => row.instance_id)
}

/** A host whose counters are not the sums over its allocations: always a bug of ours (invariant I3). */
export type Drift = { host: string; counted: Size & { instances: number }; summed: Size & { instances: number } }

/** Compares each host's counters with the sums over its allocations. One query. */
export async function capacityDrift(db: Db): Promise<Drift[]> {
  const rows = await db
    .selectFrom('hosts as h')
    .leftJoin('allocations as a', 'a.host', 'h.name')
    .groupBy(['h.name', 'h.used_vcpus', 'h.used_memory_mb', 'h.used_disk_gb', 'h.instances'])
    .select(['h.name', 'h.used_vcpus', 'h.used_memory_mb', 'h.used_disk_gb', 'h.instances'])
    .select(({ fn }) => [
      fn.count('a.instance_id').as('count'),
      sql<number>`coalesce(sum(a.vcpus), 0)`.as('vcpus'),
      sql<number>`coalesce(sum(a.memory_mb), 0)`.as('memory_mb'),
      sql<number>`coalesce(sum(a.disk_gb), 0)`.as('disk_gb'),
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
