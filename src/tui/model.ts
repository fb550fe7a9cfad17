import type { Event, Host, InstanceSummary, OperationSummary, Published, Service } from '../core/contracts/shapes.ts'
import { type Health, healthOf } from '../core/model/health.ts'
import type { InstanceState } from '../core/model/instance.ts'
import { isOpen, kindOf } from '../core/model/operation.ts'

/** The newest so many are kept of what has no end: events, and operations that are over. */
const kept = 1_000

/** What the conductor says of itself and of the whole. */
type Status = {
  readonly version: string
  readonly database: { readonly dialect: string; readonly version: string; readonly migration: string }
}

/** Daemons by their binary. */
type DaemonCounts = Readonly<Record<string, Readonly<Record<Health, number>>>>

/**
 * The cloud as it is known here: taken as a whole once, then kept up with events. It is changed in place, because a copy
 * of ten thousand rows for each event would cost more than all else; `revision` counts the changes.
 */
export type CloudModel = {
  revision: number
  readonly instances: Map<string, InstanceSummary>
  /** The ids of the instances, newest first. */
  order: string[]
  readonly operations: Map<string, OperationSummary>
  readonly events: Map<number, Event>
  hosts: Host[]
  /** The daemons one by one; none for those who may not see hosts. */
  services: Service[]
  /** How many daemons of each binary are up, degraded and down. */
  daemons: DaemonCounts
  status: Status | undefined
  /** How many operations have failed, as far back as the cloud remembers. */
  failed: number
  /** Instances of which only events have told: whoever keeps this up to date asks for all of them together. */
  readonly hearsay: Set<string>
  /** Whether something has happened that changes what hosts have left. */
  hostsChanged: boolean
}

/** What is asked for as a whole. */
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

/** Forgets what was known and takes this instead. */
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

/** Takes hosts and services as they are now. */
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

/** What conductors of before leave to be counted here. */
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

/** Takes instances that were asked for by their ids; those that did not come back are no more. */
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

/** Applies an event. One that is older than what is known of its operation changes nothing but the list of events. */
export function hear(world: CloudModel, event: Published): void {
  world.revision++
  remember(world, event)
  if (/^(instance\.(create|delete)|host|service)\.|^operation\.step$/.test(event.type)) hearMachines(world, event)
  const { operation: reported, operationId, instanceId } = event
  if (reported && operationId) {
    const before = world.operations.get(operationId)
    if (before && !isOpen(before.state) && isOpen(reported.state)) return
    hearOperation(world, event, before)
  }
  if (instanceId) hearInstance(world, event, instanceId)
}

function remember(world: CloudModel, { operation: _operation, status: _status, ...event }: Published): void {
  // Steps are only told, never kept: they have no number, and stand with their operation.
  if (event.id === 0) return
  world.events.set(event.id, event)
  const [oldest] = world.events.keys()
  if (world.events.size > kept && oldest !== undefined) world.events.delete(oldest)
}

function hearMachines(world: CloudModel, { type, host: name, operation }: Published): void {
  if (type !== 'operation.step' || operation?.step === 'place') world.hostsChanged = true
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

function hearOperation(world: CloudModel, event: Published, before: OperationSummary | undefined): void {
  const { operation: reported, operationId, instanceId, instanceName, host, at } = event
  const subject = before?.subject ?? subjectOf(instanceId, instanceName)
  if (!reported || !operationId || !subject) return
  const { fault: _fault, finishedAt: _finishedAt, ...rest } = before ?? { createdAt: at, requestId: event.requestId }
  world.operations.set(operationId, {
    ...rest,
    ...reported,
    id: operationId,
    subject,
    ...(host === undefined ? {} : { host }),
    ...(isOpen(reported.state) ? {} : { finishedAt: at }),
  })
  if (reported.state === 'failed' && before?.state !== 'failed') world.failed++
  if (world.operations.size > 3 * kept) dropOldOperations(world)
}

/** The subject of an operation that is known by its events alone; undefined if that is no instance. */
const subjectOf = (id: string | undefined, name: string | undefined): OperationSummary['subject'] | undefined =>
  id === undefined ? undefined : { kind: 'instance', id, name: name ?? id }

function dropOldOperations({ operations }: CloudModel): void {
  const over = [...operations.values()].filter(({ state }) => !isOpen(state)).sort(newestFirst)
  for (const { id } of over.slice(kept)) operations.delete(id)
}

export const newestFirst = (a: { createdAt: number; id: string }, b: { createdAt: number; id: string }): number =>
  b.createdAt - a.createdAt || (b.id < a.id ? -1 : 1)

function hearInstance(world: CloudModel, event: Published, id: string): void {
  const { type, operation: reported, operationId, instanceName, host, status, at, projectId } = event
  if (type === 'instance.delete.end' || (type === 'instance.create.error' && !reported)) {
    // A boot that nobody could take was taken back, and its operation with it.
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
  // Where it failed the host may have been left, and only the conductor knows.
  if (type === 'instance.create.error' || type === 'instance.create.retry') world.hearsay.add(id)
  const { task: _task, ...rest } = before ?? { ...unknown, id, name: instanceName ?? id, projectId, createdAt: at }
  const task = reported ? (isOpen(reported.state) ? kindOf(reported.kind).task : undefined) : before?.task
  world.instances.set(id, {
    ...rest,
    ...(type === 'instance.rename' && instanceName !== undefined ? { name: instanceName } : {}),
    ...(status === undefined ? {} : { status }),
    ...(task === undefined ? {} : { task }),
    ...(host === undefined ? {} : { host }),
  })
}

const unknown = { status: 'BUILD', power: 'NOSTATE', flavor: '', image: '' } as const

function forget(world: CloudModel, id: string): void {
  world.hearsay.delete(id)
  if (!world.instances.delete(id)) return
  const at = world.order.indexOf(id)
  if (at >= 0) world.order.splice(at, 1)
}

/** How many instances there are in each state. */
export function countStates({ instances }: CloudModel): Partial<Record<InstanceState, number>> {
  const counts: Partial<Record<InstanceState, number>> = {}
  for (const { status } of instances.values()) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** What is used of all hosts together, and what may be promised. */
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

/** Rows by what they have in common, in the order of the rows. */
export function grouped<T>(rows: readonly T[], key: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const row of rows) {
    const group = groups.get(key(row))
    if (group) group.push(row)
    else groups.set(key(row), [row])
  }
  return groups
}
