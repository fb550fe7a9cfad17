import type { Selectable } from 'kysely'
import { fail } from '../base/errors.ts'
import { nearest } from '../base/near.ts'
import { type Host, HostCgroups, UnknownGuests } from '../contracts/shapes.ts'
import { locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import type { Database } from '../db/schema.ts'
import type { Overcommit } from '../model/capacity.ts'
import { limits } from '../model/capacity.ts'
import type { Size } from '../model/instance.ts'
import { after, failMarker, type Page } from './paging.ts'
import {
  type HealthCounts,
  type Healthy,
  healthCounts,
  healthOfCounts,
  responsiveness,
  silentMsOf,
} from './services.ts'

/** What a compute daemon says of its host when it starts. */
export type HostSelf = {
  name: string
  hostId: string
  incarnation: string
  /** The zone of a host that is new. */
  availabilityZone: string
  report: HostReport
}
/** What a host says that it has. */
export type HostReport = {
  driver: string
  hypervisor: string
  hypervisorVersion: string
  accelerator: string
  total: Size
  cgroups?: HostCgroups | undefined
}

/** What is known of a host; `mayGrow`: an administrator has accepted that it has more than `total`. */
export type KnownHost = {
  hostId: string
  incarnation: string
  availabilityZone: string
  instances: number
  accelerator: string
  total: Size
  mayGrow: boolean
}

/** So many ids of a host's unknown guests are kept. */
const unknownKept = 100

/** The identity that a host has given, and what is known of it, locked until the transaction ends; undefined for a host never heard of. */
export async function lockHost(db: Db, name: string): Promise<KnownHost | undefined> {
  const columns = [
    'host_id',
    'incarnation',
    'availability_zone',
    'instances',
    'accelerator',
    'total_vcpus',
    'total_memory_mb',
    'total_disk_gb',
    'growth_accepted',
  ] as const
  const row = await locked(db, db.selectFrom('hosts').select(columns).where('name', '=', name)).executeTakeFirst()
  if (!row) return undefined
  return {
    hostId: row.host_id,
    incarnation: row.incarnation,
    availabilityZone: row.availability_zone,
    instances: row.instances,
    accelerator: row.accelerator,
    total: { vcpus: row.total_vcpus, memoryMb: row.total_memory_mb, diskGb: row.total_disk_gb },
    mayGrow: row.growth_accepted === 1,
  }
}

/** A host that was never seen before; a unique violation if another conductor adds it at the same moment. */
export async function addHost(db: Db, self: HostSelf, now: number): Promise<void> {
  await db
    .insertInto('hosts')
    .values({
      name: self.name,
      ...selfColumns(self),
      availability_zone: self.availabilityZone,
      used_vcpus: 0,
      used_memory_mb: 0,
      used_disk_gb: 0,
      instances: 0,
      failed_at: null,
      created_at: now,
    })
    .execute()
}

/** A new life of a known host's daemon. What is promised of the host and its zone stay: the zone is the administrators'. */
export async function updateHost(db: Db, self: HostSelf): Promise<void> {
  await db.updateTable('hosts').set(selfColumns(self)).where('name', '=', self.name).execute()
}

/** Moves a host into a zone. */
export async function setHostZone(db: Db, name: string, zone: string): Promise<void> {
  await db.updateTable('hosts').set({ availability_zone: zone }).where('name', '=', name).execute()
}

/** The next time that a host says that it has more than it was known to have, it is believed. */
export async function acceptGrowth(db: Db, name: string): Promise<void> {
  await db.updateTable('hosts').set({ growth_accepted: 1 }).where('name', '=', name).execute()
}

/** Records the guests there that are no instances of this cloud, if the record says otherwise. */
export async function recordUnknownGuests(db: Db, name: string, ids: readonly string[]): Promise<void> {
  const kept: UnknownGuests = { count: ids.length, ids: [...ids].sort().slice(0, unknownKept) }
  const text = ids.length === 0 ? null : JSON.stringify(kept)
  const row = await db.selectFrom('hosts').select('unknown_guests').where('name', '=', name).executeTakeFirst()
  if (row && row.unknown_guests !== text)
    await db.updateTable('hosts').set({ unknown_guests: text }).where('name', '=', name).execute()
}

/** It has grown. */
export async function endGrowth(db: Db, name: string): Promise<void> {
  await db.updateTable('hosts').set({ growth_accepted: 0 }).where('name', '=', name).execute()
}

/** Takes in fresh numbers; what is used of the host is not its to say. */
export async function updateHostReport(db: Db, name: string, report: HostReport): Promise<void> {
  await db.updateTable('hosts').set(reportColumns(report)).where('name', '=', name).execute()
}

/** A boot has just failed there: schedulers prefer others for a while. */
export async function recordHostFailure(db: Db, name: string, now: number): Promise<void> {
  await db.updateTable('hosts').set({ failed_at: now }).where('name', '=', name).execute()
}

/** Forgets a host and its services; nothing may be on it. Part of a transaction that has locked it. */
export async function removeHost(db: Db, name: string): Promise<void> {
  await db.deleteFrom('services').where('host', '=', name).where('binary', '=', 'compute').execute()
  await db.deleteFrom('hosts').where('name', '=', name).execute()
}

/** The life of this host's daemon that counts; undefined for a host never heard of. */
async function hostIncarnation(db: Db, name: string): Promise<string | undefined> {
  return (await db.selectFrom('hosts').select('incarnation').where('name', '=', name).executeTakeFirst())?.incarnation
}

type Seen = { alive: Healthy; overcommit: Overcommit }

/** Hosts by name. One query (two with a marker). `InvalidRequest` if the marker is no host's name. */
export async function listHosts(db: Db, { limit, marker, ...seen }: Page & Seen): Promise<Host[]> {
  if (marker !== undefined && (await hostIncarnation(db, marker)) === undefined) failMarker(marker)
  const rows = await selectHosts(db)
    .$if(marker !== undefined, (q) => q.where(after({ 'h.name': marker ?? '' })))
    .orderBy('h.name')
    .limit(limit)
    .execute()
  return rows.map((row) => toHost(row, seen))
}

/** The host of this name. `HostNotFound` with near names. */
export async function resolveHost(db: Db, name: string, seen: Seen): Promise<Host> {
  const row = await selectHosts(db).where('h.name', '=', name).executeTakeFirst()
  return row ? toHost(row, seen) : failHostNotFound(db, name)
}

/** How many hosts are up, degraded and down, and how many of all are disabled. One query. */
export async function countHosts(db: Db, alive: Healthy): Promise<HealthCounts & { disabled: number }> {
  const { disabled, ...counted } = await db
    .selectFrom('hosts as h')
    .leftJoin('services as s', (join) => join.onRef('s.host', '=', 'h.name').on('s.binary', '=', 'compute'))
    .select((eb) => [...healthCounts(eb, alive), eb.fn.sum<number | null>('s.disabled').as('disabled')])
    .executeTakeFirstOrThrow()
  return { ...healthOfCounts(counted), disabled: Number(disabled ?? 0) }
}

const selectHosts = (db: Db) =>
  db
    .selectFrom('hosts as h')
    .leftJoin('services as s', (join) => join.onRef('s.host', '=', 'h.name').on('s.binary', '=', 'compute'))
    .selectAll('h')
    .select(['s.seen_at', 's.disabled', 's.disabled_reason', 's.reported_by', 's.silent_ms'])
    .select('s.incarnation as service_life')

/** `HostNotFound` if there is no host of this name. */
export async function checkHost(db: Db, name: string): Promise<void> {
  if ((await hostIncarnation(db, name)) === undefined) await failHostNotFound(db, name)
}

async function failHostNotFound(db: Db, name: string): Promise<never> {
  const rows = await db.selectFrom('hosts').select('name').limit(10_000).execute()
  fail('HostNotFound', {
    id: name,
    near: nearest(
      name,
      rows.map((row) => row.name),
    ),
  })
}

const reportColumns = (report: HostReport) => ({
  driver: report.driver,
  hypervisor: report.hypervisor,
  hypervisor_version: report.hypervisorVersion,
  accelerator: report.accelerator,
  total_vcpus: report.total.vcpus,
  total_memory_mb: report.total.memoryMb,
  total_disk_gb: report.total.diskGb,
  cgroups: report.cgroups === undefined ? null : JSON.stringify(report.cgroups),
})

const selfColumns = (self: HostSelf) => ({
  host_id: self.hostId,
  incarnation: self.incarnation,
  ...reportColumns(self.report),
})

type HostRow = Selectable<Database['hosts']> & {
  seen_at: number | null
  disabled: number | null
  disabled_reason: string | null
  reported_by: string | null
  silent_ms: number | null
  service_life: string | null
}

function toHost(row: HostRow, { alive: { now, downMs, silentMs }, overcommit }: Seen): Host {
  const total = { vcpus: row.total_vcpus, memoryMb: row.total_memory_mb, diskGb: row.total_disk_gb }
  return {
    name: row.name,
    state: row.seen_at !== null && row.seen_at >= now - downMs ? 'up' : 'down',
    status: row.disabled === 1 ? 'disabled' : 'enabled',
    ...(row.disabled_reason === null ? {} : { disabledReason: row.disabled_reason }),
    availabilityZone: row.availability_zone,
    driver: row.driver,
    hypervisor: row.hypervisor,
    accelerator: row.accelerator,
    total,
    used: { vcpus: row.used_vcpus, memoryMb: row.used_memory_mb, diskGb: row.used_disk_gb },
    limit: limits(total, overcommit),
    instances: row.instances,
    seenAt: row.seen_at ?? 0,
    ...(row.unknown_guests === null ? {} : { unknownGuests: UnknownGuests.parse(JSON.parse(row.unknown_guests)) }),
    ...(row.cgroups === null ? {} : { cgroups: HostCgroups.parse(JSON.parse(row.cgroups)) }),
    ...responsiveness(row.seen_at ?? 0, silentMsOf({ ...row, incarnation: row.service_life ?? '' }), silentMs),
  }
}
