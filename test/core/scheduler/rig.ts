import type { Clock } from '../../../src/core/base/clock.ts'
import { systemClock } from '../../../src/core/base/clock.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { Db } from '../../../src/core/db/handle.ts'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import type { SchedulerDeps } from '../../../src/core/scheduler/deps.ts'
import type { SchedulerOptions } from '../../../src/core/scheduler/options.ts'
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
  but: { slots?: number; zone?: string; disabled?: boolean; seenAt?: number; failedAt?: number; service?: false } = {},
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
    })
    .execute()
}

export type Boot = { operation: string; instance: string }

/** Adds boots of 1 vCPU, 1024 MiB and 1 GiB as the conductor leaves them: instance in BUILD, operation queued. */
export async function addBoots(
  db: Db,
  count: number,
  but: {
    zone?: string
    forcedHost?: string
    hints?: Record<string, string>
    excluded?: string[]
    memoryMb?: number
  } = {},
): Promise<Boot[]> {
  const now = systemClock.now()
  const boots = Array.from({ length: count }, () => ({ operation: systemIds.uuid(), instance: systemIds.uuid() }))
  const excluded = but.excluded ?? []
  const faults = excluded.map((host) => ({ code: 'DriverFailed', message: 'The disk broke.', at: now, host }))
  const instances = boots.map(({ instance }, i) => ({
    id: instance,
    name: `web-${i}`,
    project_id: 'p',
    user_id: 'u',
    state: 'BUILD',
    power: 'NOSTATE',
    host: null,
    flavor: 'tiny',
    image_id: 'i',
    image: 'i',
    vcpus: size.vcpus,
    memory_mb: but.memoryMb ?? size.memoryMb,
    disk_gb: size.diskGb,
    availability_zone: but.zone ?? null,
    forced_host: but.forcedHost ?? null,
    metadata: '{}',
    hints: JSON.stringify(but.hints ?? {}),
    generation: 0,
    created_at: now,
    updated_at: now,
  }))
  const operations = boots.map(({ operation, instance }, i) => ({
    id: operation,
    instance_id: instance,
    instance_name: `web-${i}`,
    project_id: 'p',
    user_id: 'u',
    kind: 'boot',
    args: JSON.stringify({ image: 'i', flavor: 'tiny', excluded, faults }),
    request_id: 'req-test',
    state: 'queued',
    open_instance_id: instance,
    steps: '[]',
    attempt: 0,
    deadline: now + 600_000,
    cancel_requested: 0,
    created_at: now,
  }))
  for (let from = 0; from < count; from += 200) {
    await db
      .insertInto('instances')
      .values(instances.slice(from, from + 200))
      .execute()
    await db
      .insertInto('operations')
      .values(operations.slice(from, from + 200))
      .execute()
  }
  return boots
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
  for (const table of ['decisions', 'events', 'operations', 'instances', 'services', 'hosts'] as const)
    await db.deleteFrom(table).execute()
}
