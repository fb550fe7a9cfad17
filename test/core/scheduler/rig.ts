import type { Clock } from '../../../src/core/base/clock.ts'
import { systemClock } from '../../../src/core/base/clock.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import { randomMac, systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { compute } from '../../../src/core/contracts/compute.ts'
import type { Db } from '../../../src/core/db/handle.ts'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import type { SchedulerDeps } from '../../../src/core/scheduler/deps.ts'
import type { SchedulerOptions } from '../../../src/core/scheduler/options.ts'
import { allocate } from '../../../src/core/store/allocations.ts'
import { addLegs } from '../../../src/core/store/legs.ts'
import { addOperations } from '../../../src/core/store/operations.ts'
import { options } from './samples.ts'

const size = { vcpus: 1, memoryMb: 1024, diskGb: 1 }

export const context = {
  requestId: 'req-test',
  userId: 'u',
  projectId: 'p',
  roles: ['admin'],
  isAdmin: true,
}

/** Adds a host with so many slots for instances of 1 vCPU, 1024 MiB and 1 GiB, and its service. */
export async function addHost(
  db: Db,
  name: string,
  but: {
    slots?: number
    zone?: string
    disabled?: boolean
    seenAt?: number
    /** How long it had not heard itself on the bus when it was last seen. */
    silentMs?: number
    failedAt?: number
    service?: false
    /** The version of the hosts' contract that it has told; today's if unset. */
    speaks?: string
  } = {},
): Promise<void> {
  const now = systemClock.now()
  const slots = but.slots ?? 10
  await db
    .insertInto('hosts')
    .values({
      name,
      host_id: `id-of-${name}`,
      incarnation: 'life',
      availability_zone: but.zone ?? 'nova',
      driver: 'fake',
      hypervisor: 'fake',
      hypervisor_version: '1',
      accelerator: 'none',
      total_vcpus: slots,
      total_memory_mb: slots * size.memoryMb,
      total_disk_gb: slots * size.diskGb,
      used_vcpus: 0,
      used_memory_mb: 0,
      used_disk_gb: 0,
      instances: 0,
      failed_at: but.failedAt ?? null,
      created_at: now,
    })
    .execute()
  if (but.service === false) return
  await db
    .insertInto('services')
    .values({
      id: `compute@${name}`,
      binary: 'compute',
      host: name,
      version: '1',
      incarnation: 'life',
      disabled: but.disabled ? 1 : 0,
      disabled_reason: null,
      seen_at: but.seenAt ?? now,
      started_at: now,
      reported_by: 'life',
      silent_ms: but.silentMs ?? 0,
      contracts: JSON.stringify({ compute: but.speaks ?? compute.version }),
    })
    .execute()
}

export type Placed = { operation: string; instance: string }

type But = {
  zone?: string
  forcedHost?: string
  hints?: Record<string, string>
  excluded?: string[]
  memoryMb?: number
}

/** Adds boots of 1 vCPU, 1024 MiB and 1 GiB as the conductor leaves them: instance in BUILD, the schedulers' leg queued. */
export const addBoots = (db: Db, count: number, but: But = {}): Promise<Placed[]> =>
  addPlacings(db, 'boot', count, { ...but, host: null })

/** Adds the migration of an instance that runs on `host`, as the conductor leaves it. */
export async function addMigration(db: Db, host: string, but: But = {}): Promise<Placed> {
  const [migration] = await addPlacings(db, 'migrate', 1, { ...but, host })
  const instance = { instanceId: (migration as Placed).instance, host, role: 'current' as const, size }
  if (!(await allocate(db, instance, { vcpus: 1e6, memoryMb: 1e9, diskGb: 1e6 }, systemClock.now())))
    throw new Error(`no host ${host}`)
  return migration as Placed
}

/** How many MACs were given away. */
let macs = 0

async function addPlacings(
  db: Db,
  kind: 'boot' | 'migrate',
  count: number,
  but: But & { host: string | null },
): Promise<Placed[]> {
  const now = systemClock.now()
  const all = Array.from({ length: count }, () => ({ operation: systemIds.uuid(), instance: systemIds.uuid() }))
  const excluded = but.excluded ?? []
  const faults = excluded.map((host) => ({ code: 'DriverFailed', message: 'The disk broke.', at: now, host }))
  const state = kind === 'boot' ? 'BUILD' : 'ACTIVE'
  const instances = all.map(({ instance }, i) => ({
    id: instance,
    name: `web-${i}`,
    project_id: 'p',
    user_id: 'u',
    state,
    power: kind === 'boot' ? 'NOSTATE' : 'RUNNING',
    host: but.host,
    flavor_id: 'f',
    flavor: 'tiny',
    image_id: 'i',
    image: 'i',
    vcpus: size.vcpus,
    memory_mb: but.memoryMb ?? size.memoryMb,
    disk_gb: size.diskGb,
    availability_zone: but.zone ?? null,
    metadata: '{}',
    hints: JSON.stringify(but.hints ?? {}),
    mac: randomMac({ random: () => macs++ / 2 ** 24 }),
    generation: but.host === null ? 0 : 1,
    created_at: now,
    updated_at: now,
  }))
  for (let from = 0; from < count; from += 200)
    await db
      .insertInto('instances')
      .values(instances.slice(from, from + 200))
      .execute()
  await addOperations(
    db,
    all.map(({ operation, instance }, i) => ({
      id: operation,
      kind,
      subject: { kind: 'instance', id: instance, name: `web-${i}` },
      projectId: 'p',
      userId: 'u',
      args: kind === 'boot' ? { image: 'i', flavor: 'tiny' } : {},
      placing: { excluded, faults, ...(but.forcedHost === undefined ? {} : { forced: but.forcedHost }) },
      requestId: 'req-test',
      before: state,
      deadline: now + 600_000,
      createdAt: now,
    })),
  )
  await addLegs(
    db,
    all.map(({ operation }) => ({ operation, service: 'scheduler', host: '', role: 'scheduler' })),
    now,
  )
  return all
}

/** What a scheduler needs, with a bus that keeps what it is given: hosts in `silent` have no consumer. */
export function rig(db: Db, but: { options?: Partial<SchedulerOptions>; silent?: string[]; clock?: Clock } = {}) {
  const reported: Array<{ host: string; operation: string }> = []
  const published: Array<{ key: string; body: unknown }> = []
  const silent = new Set(but.silent)
  const deps: SchedulerDeps = {
    db,
    clock: but.clock ?? systemClock,
    ids: systemIds,
    log: silentLog,
    version: '1.2.3',
    hostName: 'control',
    incarnation: 'life',
    speakers: new Speakers(),
    hearing: { since: () => 0, beat: () => undefined },
    computeOn: (host) => ({
      async run(_ctx, { operation }) {
        if (silent.has(host)) throw new Failure('HostUnreachable', { target: `compute.${host}` })
        reported.push({ host, operation })
      },
    }),
    publish: (key, body) => void published.push({ key, body }),
    options: options(but.options),
  }
  return { deps, reported, published, silent }
}

/** Takes all rows away. */
export async function empty(db: Db): Promise<void> {
  for (const table of ['decisions', 'events', 'operations', 'allocations', 'instances', 'services', 'hosts'] as const)
    await db.deleteFrom(table).execute()
}
