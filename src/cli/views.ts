import type { Begun, conductor, Quota } from '../core/contracts/conductor.ts'
import {
  type Decision,
  type Event,
  type Fault,
  type Flavor,
  type Host,
  type HostVerdict,
  type Image,
  type Instance,
  type InstanceSummary,
  instanceOf,
  type Operation,
  type OperationSummary,
  type Service,
} from '../core/contracts/shapes.ts'
import { healthOf } from '../core/model/health.ts'
import type { Result } from '../core/rpc/contract.ts'
import { progressText } from './progress.ts'
import { type Cell, iso, view } from './view.ts'

type HostGone = Result<typeof conductor, 'hostDelete'>
type HostLogin = Result<typeof conductor, 'hostAdd'>
type Size = { vcpus: number; memoryMb: number; diskGb: number }
const size = (s: Size): Cell => ({ vcpus: s.vcpus, memory_mb: s.memoryMb, disk_gb: s.diskGb })
const fault = (f: Fault | undefined): Cell | undefined =>
  f && { code: f.code, message: f.message, hint: f.hint ?? null, host: f.host ?? null, at: iso(f.at) }

const instanceFields = {
  id: (i: InstanceSummary) => i.id,
  name: (i: InstanceSummary) => i.name,
  status: (i: InstanceSummary) => (i.deletedAt === undefined ? i.status : 'DELETED'),
  task: (i: InstanceSummary) => i.task,
  power: (i: InstanceSummary) => i.power,
  host: (i: InstanceSummary) => i.host,
  flavor: (i: InstanceSummary) => i.flavor,
  image: (i: InstanceSummary) => i.image,
  project_id: (i: InstanceSummary) => i.projectId,
  created_at: (i: InstanceSummary) => iso(i.createdAt),
}
const rowFields = { ...instanceFields, deleted_at: (i: InstanceSummary) => iso(i.deletedAt) }
/** Instances in a list. */
export const instanceRows = view<InstanceSummary, typeof rowFields>(rowFields, [
  'id',
  'name',
  'status',
  'task',
  'power',
  'host',
])
/** Deleted instances in a list. */
export const deletedRows = { ...instanceRows, table: ['id', 'name', 'status', 'host', 'created_at', 'deleted_at'] }

/** One instance in full. */
export const instanceView = view<Instance, Record<string, (i: Instance) => Cell | undefined>>({
  ...instanceFields,
  vcpus: (i) => i.size.vcpus,
  memory_mb: (i) => i.size.memoryMb,
  disk_gb: (i) => i.size.diskGb,
  image_id: (i) => i.imageId,
  user_id: (i) => i.userId,
  description: (i) => i.description,
  availability_zone: (i) => i.availabilityZone,
  metadata: (i) => i.metadata,
  hints: (i) => i.hints,
  key: (i) => i.key,
  has_user_data: (i) => i.hasUserData,
  mac_address: (i) => i.macAddress,
  generation: (i) => i.generation,
  updated_at: (i) => iso(i.updatedAt),
  launched_at: (i) => iso(i.launchedAt),
  fault: (i) => fault(i.fault),
  operation: (i) => i.operation && operationRows.row(i.operation),
})

export const flavorView = view<Flavor, Record<string, (f: Flavor) => Cell | undefined>>(
  {
    id: (f) => f.id,
    name: (f) => f.name,
    vcpus: (f) => f.vcpus,
    memory_mb: (f) => f.memoryMb,
    disk_gb: (f) => f.diskGb,
    created_at: (f) => iso(f.createdAt),
  },
  ['id', 'name', 'vcpus', 'memory_mb', 'disk_gb'],
)

const imageFields = {
  id: (i: Image) => i.id,
  name: (i: Image) => i.name,
  status: (i: Image) => i.status,
  disk_format: (i: Image) => i.diskFormat,
  size_bytes: (i: Image) => i.sizeBytes,
  min_memory_mb: (i: Image) => i.minMemoryMb,
  min_disk_gb: (i: Image) => i.minDiskGb,
  virtual_bytes: (i: Image) => i.virtualBytes,
  visibility: (i: Image) => i.visibility,
  project_id: (i: Image) => i.projectId,
  files: (i: Image) =>
    Object.fromEntries(
      Object.entries(i.files).map(([part, f]) => [part, { size_bytes: f.sizeBytes, sha256: f.sha256 }]),
    ),
  created_at: (i: Image) => iso(i.createdAt),
}
/** Lists leave an image's metadata out. */
export const imageRows = view<Image, typeof imageFields>(imageFields, [
  'id',
  'name',
  'status',
  'disk_format',
  'size_bytes',
  'min_memory_mb',
  'min_disk_gb',
  'visibility',
])
export const imageView = view<Image, Record<string, (image: Image) => Cell | undefined>>({
  ...imageFields,
  metadata: (i: Image) => i.metadata,
})

/** A quota: what is used of each thing, and the limit (-1: none); memory and images in MiB. */
export const quotaView = view<Quota, Record<string, (q: Quota) => Cell | undefined>>({
  project: (q) => q.project,
  instances_used: (q) => q.used.instances,
  instances: (q) => q.limits.instances,
  cores_used: (q) => q.used.cores,
  cores: (q) => q.limits.cores,
  ram_used: (q) => q.used.ram,
  ram: (q) => q.limits.ram,
  image_size_total_used: (q) => q.used.image_size_total,
  image_size_total: (q) => q.limits.image_size_total,
  own: (q) => q.own,
})

/** A host's new login. */
export const hostLoginView = view<HostLogin, Record<string, (login: HostLogin) => Cell | undefined>>({
  host: (login) => login.host,
  user: (login) => login.user,
  password: (login) => login.password,
  url: (login) => login.url,
  known: (login) => login.known,
})

/** A deleted host, and its deleted login. */
export const hostGoneView = view<HostGone, Record<string, (gone: HostGone) => Cell | undefined>>({
  host: (gone) => gone.host,
  user: (gone) => gone.user,
})

export const serviceView = view<Service, Record<string, (s: Service) => Cell | undefined>>(
  {
    id: (s) => s.id,
    binary: (s) => s.binary,
    host: (s) => s.host,
    status: (s) => s.status,
    state: (s) => healthOf(s),
    version: (s) => s.version,
    disabled_reason: (s) => s.disabledReason,
    seen_at: (s) => iso(s.seenAt),
    heard_at: (s) => iso(s.lastPongAt),
    started_at: (s) => iso(s.startedAt),
    contracts: (s) => s.contracts,
  },
  ['binary', 'host', 'status', 'state', 'version', 'disabled_reason', 'seen_at', 'heard_at'],
)

const hostFields = {
  name: (h: Host) => h.name,
  state: (h: Host) => healthOf(h),
  status: (h: Host) => h.status,
  disabled_reason: (h: Host) => h.disabledReason,
  availability_zone: (h: Host) => h.availabilityZone,
  driver: (h: Host) => h.driver,
  hypervisor: (h: Host) => h.hypervisor,
  accelerator: (h: Host) => h.accelerator,
  instances: (h: Host) => h.instances,
  vcpus: (h: Host) => `${h.used.vcpus}/${h.limit.vcpus}`,
  memory_mb: (h: Host) => `${h.used.memoryMb}/${h.limit.memoryMb}`,
  disk_gb: (h: Host) => `${h.used.diskGb}/${h.limit.diskGb}`,
  total: (h: Host) => size(h.total),
  used: (h: Host) => size(h.used),
  limit: (h: Host) => size(h.limit),
  seen_at: (h: Host) => iso(h.seenAt),
  heard_at: (h: Host) => iso(h.lastPongAt),
  cgroups: (h: Host) => h.cgroups?.controllers,
  cgroups_why: (h: Host) => h.cgroups?.why || null,
  unknown_guests: ({ unknownGuests: { count, ids } = { count: 0, ids: [] } }: Host) =>
    count > ids.length ? [...ids, `${count - ids.length} more`] : ids,
}
/**
 * Hosts; `vcpus`, `memory_mb` and `disk_gb` are used/limit; `total`, `used` and `limit` are the same numbers for
 * programs.
 */
export const hostRows = view<Host, typeof hostFields>(hostFields, [
  'name',
  'state',
  'status',
  'availability_zone',
  'driver',
  'accelerator',
  'instances',
  'vcpus',
  'memory_mb',
  'disk_gb',
])
export const hostView = view<{ host: Host; instances: InstanceSummary[] }, Record<string, (h: Shown) => Cell>>({
  ...Object.fromEntries(Object.entries(hostFields).map(([key, of]) => [key, (shown: Shown) => of(shown.host) ?? null])),
  instances: ({ instances }) => instances.map((i) => i.name),
})
type Shown = { host: Host; instances: InstanceSummary[] }

const operationFields = {
  id: (o: OperationSummary) => o.id,
  kind: (o: OperationSummary) => o.kind,
  state: (o: OperationSummary) => o.state,
  subject_kind: (o: OperationSummary) => o.subject.kind,
  subject_id: (o: OperationSummary) => o.subject.id,
  subject_name: (o: OperationSummary) => o.subject.name,
  // Only of operations on instances.
  instance_id: (o: OperationSummary) => instanceOf(o.subject)?.id,
  instance_name: (o: OperationSummary) => instanceOf(o.subject)?.name,
  step: (o: OperationSummary) => o.step,
  host: (o: OperationSummary) => o.host,
  undoing: (o: OperationSummary) => o.undoing ?? false,
  progress: (o: OperationSummary) => o.progress && progressText(o.progress),
  attempt: (o: OperationSummary) => o.attempt,
  request_id: (o: OperationSummary) => o.requestId,
  created_at: (o: OperationSummary) => iso(o.createdAt),
  finished_at: (o: OperationSummary) => iso(o.finishedAt),
  fault: (o: OperationSummary) => fault(o.fault),
}
export const operationRows = view<OperationSummary, typeof operationFields>(operationFields, [
  'id',
  'kind',
  'subject_name',
  'state',
  'step',
  'host',
  'created_at',
])
/** Operations in a table: the columns `undoing` and `progress` are there only if a row has something to say. */
export const operationTable = (rows: readonly OperationSummary[]): typeof operationRows => ({
  ...operationRows,
  table: [
    ...operationRows.table,
    ...(rows.some(({ undoing }) => undoing) ? ['undoing'] : []),
    ...(rows.some(({ progress }) => progress) ? ['progress'] : []),
  ],
})
export const operationView = view<Operation, Record<string, (o: Operation) => Cell | undefined>>({
  ...operationFields,
  steps: (o) =>
    o.steps.map((s) => ({
      name: s.undo ? `undo ${s.name}` : s.name,
      at: iso(s.at),
      attempt: s.attempt,
      host: s.host ?? null,
    })),
  hosts: (o) =>
    o.hosts.map((h) => ({
      host: h.host === '' ? 'any scheduler' : h.host,
      role: h.role,
      state: h.state,
      step: h.step ?? null,
      lease_until: h.leaseUntil === undefined ? null : iso(h.leaseUntil),
    })),
  deadline: (o) => iso(o.deadline),
  cancel_requested: (o) => o.cancelRequested,
  user_id: (o) => o.userId,
  project_id: (o) => o.projectId,
  retry_of: (o) => o.retryOf,
})

export const eventView = view<Event, Record<string, (e: Event) => Cell | undefined>>(
  {
    id: (e) => e.id,
    at: (e) => iso(e.at),
    type: (e) => e.type,
    instance_name: (e) => e.instanceName,
    instance_id: (e) => e.instanceId,
    operation_id: (e) => e.operationId,
    host: (e) => e.host,
    message: (e) => e.message,
    request_id: (e) => e.requestId,
    project_id: (e) => e.projectId,
    user_id: (e) => e.userId,
  },
  ['id', 'at', 'type', 'instance_name', 'host', 'message'],
)

/** An operation that a command started, and its progress while the command watched. */
export type BegunRow = Begun & { kind: string; state: string; step?: string; fault?: Fault | undefined }
export const begunView = view<BegunRow, Record<string, (b: BegunRow) => Cell | undefined>>(
  {
    id: (b) => b.instance.id,
    name: (b) => b.instance.name,
    operation_id: (b) => b.operation,
    kind: (b) => b.kind,
    state: (b) => b.state,
    step: (b) => b.step,
    fault: (b) => fault(b.fault),
  },
  ['id', 'name', 'operation_id', 'kind', 'state'],
)

/** A deleted thing. */
export const goneView = view<{ id: string; name: string }, Record<string, (g: { id: string; name: string }) => Cell>>({
  id: (g) => g.id,
  name: (g) => g.name,
})

/** What each host said about a request. */
export const verdictView = view<HostVerdict, Record<string, (v: HostVerdict) => Cell | undefined>>(
  {
    host: (v) => v.host,
    verdict: (v) => (v.passed ? 'yes' : 'no'),
    filter: (v) => v.filter,
    reason: (v) => v.reason,
    weight: (v) => rounded(v.weight),
    weights: (v) =>
      v.weights && Object.fromEntries(Object.entries(v.weights).map(([name, w]) => [name, rounded(w) ?? 0])),
  },
  ['host', 'verdict', 'reason', 'weight', 'weights'],
)

/** A placement as a whole, for programs. */
export const decisionRow = (d: Decision): Record<string, Cell> => ({
  at: iso(d.at),
  chosen: d.chosen ?? null,
  summary: d.summary,
  filters: d.filters,
  weighers: d.weighers,
  hosts: d.hosts.map((host) => verdictView.row(host)),
  ...(d.placed === undefined ? {} : { placed: d.placed }),
  counts: d.counts ?? null,
})

const rounded = (weight: number | undefined): number | undefined =>
  weight === undefined ? undefined : Math.round(weight * 1000) / 1000

/** A requested instance and its progress. */
export type Booted = Begun & { flavor: string; image: string; status: string; state: string; host?: string }
export const bootedView = view<Booted, Record<string, (b: Booted) => Cell | undefined>>({
  id: (b) => b.instance.id,
  name: (b) => b.instance.name,
  status: (b) => b.status,
  flavor: (b) => b.flavor,
  image: (b) => b.image,
  host: (b) => b.host,
  operation_id: (b) => b.operation,
  operation_state: (b) => b.state,
})
