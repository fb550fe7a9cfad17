import type { RequestSpec } from '../contracts/scheduler.ts'
import type { Fault } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Size } from '../model/instance.ts'
import { kindOf, type OperationKind } from '../model/operation.ts'
import type { Placing } from './operation-record.ts'

/** A host as placement sees it: `service` is absent if its compute daemon has never reported. */
export type HostRoom = {
  name: string
  availabilityZone: string
  total: Size
  used: Size
  instances: number
  failedAt: number | undefined
  service:
    | {
        disabled: boolean
        disabledReason: string | undefined
        seenAt: number
        silentMs: number | undefined
        /** The version of the contract `compute` that it speaks; undefined if it has not said. */
        speaks: string | undefined
      }
    | undefined
}

/** An operation that waits for a host. */
export type Placement = {
  operationId: string
  kind: OperationKind
  instanceId: string
  instanceName: string
  projectId: string
  requestId: string
  spec: RequestSpec
  /** Why the operation has failed on hosts before, the last one last. */
  faults: Fault[]
}

const selectHosts = prepared((db: Db) =>
  db
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
    ])
    // What an earlier life of the daemon said of itself counts no more: see `silentMsOf` and `contractsOf`.
    .select((eb) => [
      eb.case().when('s.reported_by', '=', eb.ref('s.incarnation')).then(eb.ref('s.silent_ms')).end().as('silent_ms'),
      eb.case().when('s.reported_by', '=', eb.ref('s.incarnation')).then(eb.ref('s.contracts')).end().as('contracts'),
    ]),
)

/**
 * All hosts with what they have, what is promised of it, and how their service does. One query; sorted here, because a
 * server that sorts rows with long texts makes a table of them first.
 */
export async function hostsForPlacement(db: Db): Promise<HostRoom[]> {
  const { rows } = await selectHosts(db, {})
  const byName = rows.sort((a, b) => (a.name < b.name ? -1 : 1))
  // Nearly all say the same words.
  const versions = new Map<string, string | undefined>()
  const versionIn = (contracts: string): string | undefined => {
    if (!versions.has(contracts)) versions.set(contracts, (JSON.parse(contracts) as Record<string, string>).compute)
    return versions.get(contracts)
  }
  return byName.map((row) => ({
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
            silentMs: row.silent_ms ?? undefined,
            speaks: row.contracts === null ? undefined : versionIn(row.contracts),
          },
  }))
}

/** On which hosts these instances are; those without a host are left out. */
export async function hostsOfInstances(db: Db, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await db.selectFrom('instances').select(['id', 'host']).where('id', 'in', ids).execute()
  return new Map(rows.flatMap(({ id, host }) => (host === null ? [] : [[id, host] as const])))
}

const selectPlacement = prepared((db: Db, { operationId }: { operationId: string }) =>
  db
    .selectFrom('operation_hosts as l')
    .innerJoin('operations as o', 'o.id', 'l.operation_id')
    .innerJoin('instances as i', 'i.id', 'o.subject_id')
    .leftJoin('allocations as a', 'a.instance_id', 'i.id')
    .select(['o.kind', 'o.placing', 'o.request_id', 'i.id', 'i.name', 'i.project_id'])
    .select(['i.vcpus', 'i.memory_mb', 'i.disk_gb', 'i.hints', 'i.availability_zone', 'a.host as held_on'])
    .where('l.operation_id', '=', operationId)
    .where('l.service', '=', 'scheduler')
    .where('l.state', '=', 'queued')
    .where('o.undoing', '=', 0),
)

/** What an operation asks for whose turn is the schedulers'; undefined if there is nothing (any more) to place. One query. */
export async function placementFor(db: Db, operationId: string): Promise<Placement | undefined> {
  const { rows } = await selectPlacement(db, { operationId })
  const [row] = rows
  if (!row) return undefined
  const held = rows.flatMap(({ held_on }) => held_on ?? [])
  const placing = JSON.parse(row.placing ?? '{"excluded":[],"faults":[]}') as Placing
  return {
    operationId,
    kind: row.kind as OperationKind,
    instanceId: row.id,
    instanceName: row.name,
    projectId: row.project_id,
    requestId: row.request_id,
    faults: placing.faults,
    spec: {
      projectId: row.project_id,
      size: { vcpus: row.vcpus, memoryMb: row.memory_mb, diskGb: row.disk_gb },
      hints: JSON.parse(row.hints) as Record<string, string>,
      ...(row.availability_zone === null ? {} : { availabilityZone: row.availability_zone }),
      ...(placing.forced === undefined ? {} : { forcedHost: placing.forced }),
      // An instance that moves goes to another host than its own, and to none that has yet to clean up what it had of it.
      excluded: [...new Set([...placing.excluded, ...held])],
      needs: kindOf(row.kind as OperationKind).since,
    },
  }
}
