import { isPublishedOnly, operationAfter } from '../cli/operation-after.ts'
import type { Event, Host, InstanceSummary, OperationSummary, Published, Service } from '../core/contracts/shapes.ts'
import { type Health, healthOf } from '../core/model/health.ts'
import type { InstanceState } from '../core/model/instance.ts'
import { isOpen, kindOf, placedBy, placeFilled } from '../core/model/operation.ts'

/** How many are kept of what grows without end: events and ended operations. */
const kept = 1_000

/** What the conductor reports about itself and the whole cloud. */
type Status = {
  readonly version: string
  readonly database: { readonly dialect: string; readonly version: string; readonly migration: string }
}

/** Daemons by their binary. */
type DaemonCounts = Readonly<Record<string, Readonly<Record<Health, number>>>>

/**
 * The cloud as the dashboard knows it: loaded once, then updated from events. It is changed in place, because a copy of
 * ten thousand rows per event would cost more than all else; `revision` counts the changes.
 */
export type CloudModel = {
  revision: number
  readonly instances: Map<string, InstanceSummary>
  /** Instance ids, newest first. */
  order: string[]
  readonly operations: Map<string, OperationSummary>
  readonly events: Map<number, Event>
  hosts: Host[]
  /** Daemons one by one; empty for callers who may not see hosts. */
  services: Service[]
  /** How many daemons of each binary are up, degraded and down. */
  daemons: DaemonCounts
  status: Status | undefined
  /** How many operations have failed, as far back as the history goes. */
  failed: number
  /** Instances known from events only: the feed loads all of them together. */
  readonly hearsay: Set<string>
  /** Whether an event has changed the free capacity of hosts. */
  hostsChanged: boolean
}

/** What a full load returns. */
export type Snapshot = {
  readonly instances: readonly InstanceSummary[]
  readonly operations: readonly OperationSummary[]
  readonly events: readonly Event[]
  readonly hosts: readonly Host[]
  readonly services: readonly Service[]
  readonly daemons: DaemonCounts
  readonly status: Status
  readonly failed: number
}

export const emptyWorld = (): CloudModel => ({
  revision: 0,
  instances: new Map(),
  order: [],
  operations: new Map(),
  events: new Map(),
  hosts: [],
  services: [],
  daemons: {},
  status: undefined,
  failed: 0,
  hearsay: new Set(),
  hostsChanged: false,
})

/** Replaces everything that is known. */
export function takeSnapshot(world: CloudModel, snapshot: Snapshot): void {
  world.instances.clear()
  for (const row of snapshot.instances) world.instances.set(row.id, row)
  world.order = snapshot.instances.map((row) => row.id)
  world.operations.clear()
  for (const row of snapshot.operations) world.operations.set(row.id, row)
  world.events.clear()
  for (const event of snapshot.events) world.events.set(event.id, event)
  world.hearsay.clear()
  world.failed = snapshot.failed
  world.status = snapshot.status
  takeMachines(world, snapshot)
}

/** Replaces hosts and services. */
export function takeMachines(
  world: CloudModel,
  machines: { hosts?: readonly Host[]; services?: readonly Service[]; daemons?: DaemonCounts },
): void {
  if (machines.hosts) {
    world.hosts = [...machines.hosts].sort((a, b) => byName(a.name, b.name))
    world.hostsChanged = false
  }
  if (machines.services) world.services = [...machines.services]
  if (machines.daemons) world.daemons = machines.daemons
  world.revision++
}

/** Counts what older conductors do not count. */
export function countDaemons(services: readonly Service[]): DaemonCounts {
  const counts: Record<string, Record<Health, number>> = {}
  for (const service of services) {
    counts[service.binary] ??= { up: 0, degraded: 0, down: 0 }
    counts[service.binary]![healthOf(service)]++
  }
  return counts
}

const order = new Intl.Collator('en', { numeric: true })
const byName = (a: string, b: string): number => order.compare(a, b)

/** Replaces the instances that were requested by id; those that are missing in the answer no longer exist. */
export function takeAsked(world: CloudModel, ids: readonly string[], rows: readonly InstanceSummary[]): void {
  const found = new Map(rows.map((row) => [row.id, row]))
  for (const id of ids) {
    world.hearsay.delete(id)
    const row = found.get(id)
    if (!row) forget(world, id)
    else if (world.instances.has(id)) world.instances.set(id, row)
  }
  world.revision++
}

/** Applies an event. An event that is older than the known state of its operation only joins the list of events. */
export function applyEvent(world: CloudModel, event: Published): void {
  world.revision++
  remember(world, event)
  if (/^(instance\.(create|delete)|host|service)\.|^operation\.step$/.test(event.type)) applyToHosts(world, event)
  const { operation: reported, operationId, instanceId } = event
  if (reported && operationId) {
    const before = world.operations.get(operationId)
    if (before && !isOpen(before.state) && isOpen(reported.state)) return
    applyToOperation(world, event, before)
  }
  if (instanceId) applyToInstance(world, event, instanceId)
}

function remember(world: CloudModel, { operation: _operation, status: _status, ...event }: Published): void {
  // Steps are published but not stored: they have no id, and belong to their operation.
  if (event.id === 0) return
  world.events.set(event.id, event)
  const [oldest] = world.events.keys()
  if (world.events.size > kept && oldest !== undefined) world.events.delete(oldest)
}

function applyToHosts(world: CloudModel, { type, host: name, operation }: Published): void {
  if (type !== 'operation.step' || (operation && isPlaced(operation))) world.hostsChanged = true
  const change =
    type === 'host.up'
      ? { state: 'up' as const }
      : type === 'host.down'
        ? { state: 'down' as const }
        : type === 'service.disable'
          ? { status: 'disabled' as const }
          : type === 'service.enable'
            ? { status: 'enabled' as const }
            : undefined
  if (change === undefined) return
  const at = world.hosts.findIndex((host) => host.name === name)
  if (at >= 0) world.hosts[at] = { ...world.hosts[at]!, ...change }
}

function applyToOperation(world: CloudModel, event: Published, before: OperationSummary | undefined): void {
  const { operation: reported, operationId: id, requestId, at: createdAt } = event
  const subject = before?.subject ?? subjectOf(event)
  if (!reported || !id || !subject) return
  const { kind, attempt } = reported
  const known = before ?? { id, kind, state: 'queued', subject, attempt, requestId, createdAt }
  world.operations.set(id, operationAfter(known, event))
  if (reported.state === 'failed' && before?.state !== 'failed') world.failed++
  if (world.operations.size > 3 * kept) dropOldOperations(world)
}

/** Whether a scheduler has just chosen a host. */
const isPlaced = ({ kind, step }: NonNullable<Published['operation']>): boolean =>
  kindOf(kind).steps.some(({ name, at }) => name === step && at === 'scheduler')

/** The subject of an operation that is known from events only; undefined if an older conductor does not say. */
const subjectOf = ({ subject, instanceId: id, instanceName }: Published): OperationSummary['subject'] | undefined =>
  subject ?? (id === undefined ? undefined : { kind: 'instance', id, name: instanceName ?? id })

function dropOldOperations({ operations }: CloudModel): void {
  const over = [...operations.values()].filter(({ state }) => !isOpen(state)).sort(newestFirst)
  for (const { id } of over.slice(kept)) operations.delete(id)
}

export const newestFirst = (a: { createdAt: number; id: string }, b: { createdAt: number; id: string }): number =>
  b.createdAt - a.createdAt || (b.id < a.id ? -1 : 1)

function applyToInstance(world: CloudModel, event: Published, id: string): void {
  const { type, operation: reported, operationId, instanceName, host, status, at, projectId } = event
  if (type === 'instance.delete.end' || (type === 'instance.create.error' && !reported)) {
    // A boot that no host could take was undone, and its operation with it.
    if (!reported && operationId) world.operations.delete(operationId)
    forget(world, id)
    return
  }
  const before = world.instances.get(id)
  if (!before) {
    if (!reported || !isOpen(reported.state)) return
    world.hearsay.add(id)
    world.order.unshift(id)
  }
  // After a failure the instance may have left its host; only the conductor knows.
  if (type === 'instance.create.error' || type === 'instance.create.retry') world.hearsay.add(id)
  const { task: _task, ...rest } = before ?? { ...unknown, id, name: instanceName ?? id, projectId, createdAt: at }
  const task = reported ? (isOpen(reported.state) ? kindOf(reported.kind).task : undefined) : before?.task
  world.instances.set(id, {
    ...rest,
    ...(type === 'instance.rename' && instanceName !== undefined ? { name: instanceName } : {}),
    ...(status === undefined ? {} : { status }),
    ...(task === undefined ? {} : { task }),
    ...(host === undefined || !movesInstance(event) ? {} : { host }),
  })
}

/**
 * Whether the host that an event names is now the instance's. A step may be another host's, such as the target's of a
 * migration, unless it is of an instance that a scheduler gives its first host.
 */
const movesInstance = ({ type, operation }: Published): boolean =>
  !isPublishedOnly(type) ||
  (type === 'operation.step' &&
    operation !== undefined &&
    placedBy(operation.kind) !== undefined &&
    placeFilled(operation.kind) === 'host')

const unknown = { status: 'BUILD', power: 'NOSTATE', flavor: '', image: '' } as const

function forget(world: CloudModel, id: string): void {
  world.hearsay.delete(id)
  if (!world.instances.delete(id)) return
  const at = world.order.indexOf(id)
  if (at >= 0) world.order.splice(at, 1)
}

/** The number of instances in each state. */
export function countStates({ instances }: CloudModel): Partial<Record<InstanceState, number>> {
  const counts: Partial<Record<InstanceState, number>> = {}
  for (const { status } of instances.values()) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** Used and allocatable resources of all hosts together. */
export function sumHosts(hosts: readonly Host[]): Pick<Host, 'used' | 'limit'> {
  const sum = (of: 'used' | 'limit', key: keyof Host['used']): number =>
    hosts.reduce((total, host) => total + host[of][key], 0)
  const all = (of: 'used' | 'limit') => ({
    vcpus: sum(of, 'vcpus'),
    memoryMb: sum(of, 'memoryMb'),
    diskGb: sum(of, 'diskGb'),
  })
  return { used: all('used'), limit: all('limit') }
}

/** Rows grouped by a key, in the order of the rows. */
export function grouped<T>(rows: readonly T[], key: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const row of rows) {
    const group = groups.get(key(row))
    if (group) group.push(row)
    else groups.set(key(row), [row])
  }
  return groups
}
