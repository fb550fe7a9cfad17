import { createHash } from 'node:crypto'
import type { Flavor, Service } from '../contracts/shapes.ts'
import type { Moment, Raised } from './moment.ts'
import type { Row } from './table.ts'
import { dayOf, versionedTime } from './words.ts'

/** An object of nova/notifications/objects, as oslo.versionedobjects writes it. */
const object = (name: string, version: string, data: Record<string, unknown>) => ({
  'nova_object.name': name,
  'nova_object.namespace': 'nova',
  'nova_object.version': version,
  'nova_object.data': data,
})

/** The fields of an instance payload class beyond the common ones. The versions are those of Nova 26. */
export function instancePayload(payload: Row['payload'], moment: Moment): unknown {
  const { event, instance, raised } = moment
  const common = instanceData(moment)
  const action = { ...common, fault: raised === undefined ? null : exceptionPayload(raised) }
  if (payload === 'InstanceCreatePayload')
    return object(payload, '1.12', {
      ...action,
      keypairs: [],
      tags: [],
      trusted_image_certificates: null,
      instance_name: instance.name,
    })
  if (payload === 'InstanceActionPayload') return object(payload, '1.8', action)
  const { from, to } = dayOf(event.at)
  return object('InstanceUpdatePayload', '2.0', {
    ...common,
    state_update: object('InstanceStateUpdatePayload', '1.0', {
      old_state: moment.stateBefore,
      state: moment.state,
      old_task_state: null,
      new_task_state: null,
    }),
    audit_period: object('AuditPeriodPayload', '1.0', {
      audit_period_beginning: versionedTime(from),
      audit_period_ending: versionedTime(to),
    }),
    old_display_name: event.before?.name ?? null,
    tags: [],
  })
}

function instanceData({ instance, event, host, state, power, task, launchedAt, deletedAt }: Moment) {
  return {
    uuid: instance.id,
    user_id: instance.userId,
    tenant_id: instance.projectId,
    reservation_id: null,
    display_name: event.instanceName ?? instance.name,
    display_description: instance.description ?? null,
    host_name: event.instanceName ?? instance.name,
    host: host ?? null,
    node: host ?? null,
    os_type: null,
    architecture: null,
    availability_zone: instance.availabilityZone ?? null,
    flavor: flavorPayload({ id: instance.flavor, name: instance.flavor, ...instance.size }),
    image_uuid: instance.imageId,
    key_name: null,
    kernel_id: '',
    ramdisk_id: '',
    created_at: versionedTime(instance.createdAt),
    launched_at: versionedTime(launchedAt),
    terminated_at: versionedTime(deletedAt),
    deleted_at: versionedTime(deletedAt),
    updated_at: versionedTime(Math.min(instance.updatedAt, event.at)),
    state,
    power_state: power,
    task_state: task,
    progress: 0,
    ip_addresses: [],
    block_devices: [],
    metadata: instance.metadata,
    locked: false,
    locked_reason: null,
    auto_disk_config: 'MANUAL',
    request_id: event.requestId,
    action_initiator_user: event.userId ?? instance.userId,
    action_initiator_project: event.projectId,
  }
}

const exceptionPayload = ({ exception, message, where }: Raised) =>
  object('ExceptionPayload', '1.1', {
    module_name: 'nova',
    function_name: where,
    exception,
    exception_message: message,
    traceback: '',
  })

/** A flavor; for an instance's flavor, only the name and the size are stored. */
export const flavorPayload = ({ id, name, vcpus, memoryMb, diskGb }: Omit<Flavor, 'createdAt'>) =>
  object('FlavorPayload', '1.4', {
    flavorid: id,
    name,
    vcpus,
    memory_mb: memoryMb,
    root_gb: diskGb,
    ephemeral_gb: 0,
    swap: 0,
    rxtx_factor: 1,
    vcpu_weight: 0,
    disabled: false,
    is_public: true,
    extra_specs: {},
    projects: null,
    description: null,
  })

/** A service. Fields that Nova has and we do not get the value of a healthy service. */
export const servicePayload = ({ id, binary, host, status, disabledReason, seenAt }: Service) =>
  object('ServiceStatusPayload', '1.1', {
    host,
    binary: `nova-${binary}`,
    topic: binary,
    report_count: 0,
    disabled: status === 'disabled',
    disabled_reason: disabledReason ?? null,
    availability_zone: null,
    last_seen_up: versionedTime(seenAt),
    forced_down: false,
    version: 0,
    uuid: uuidOf(id),
  })

/** Services have names here; a reader that needs UUIDs gets one that is always the same (RFC 9562, version 8). */
function uuidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
