import type { Moment } from './moment.ts'
import type { Row } from './table.ts'
import { dayOf, plainTime, printedTime } from './words.ts'

/** The payload of the unversioned format, as in nova/notifications/base.py, `info_from_instance`. */
export function plainPayload(payload: Row['payload'], moment: Moment): Record<string, unknown> {
  const { instance, event, host, state, task, launchedAt, deletedAt, raised } = moment
  const { vcpus, memoryMb, diskGb } = instance.size
  return {
    tenant_id: instance.projectId,
    user_id: instance.userId,
    instance_id: instance.id,
    display_name: event.instanceName ?? instance.name,
    reservation_id: null,
    hostname: event.instanceName ?? instance.name,
    instance_type: instance.flavor,
    // Nova's is the number of a row; we have a name.
    instance_type_id: instance.flavor,
    instance_flavor_id: instance.flavor,
    architecture: null,
    memory_mb: memoryMb,
    disk_gb: diskGb,
    vcpus,
    root_gb: diskGb,
    ephemeral_gb: 0,
    host: host ?? null,
    node: host ?? null,
    availability_zone: instance.availabilityZone ?? null,
    cell_name: '',
    created_at: printedTime(instance.createdAt),
    terminated_at: plainTime(deletedAt),
    deleted_at: plainTime(deletedAt),
    launched_at: plainTime(launchedAt),
    image_ref_url: instance.imageId,
    os_type: null,
    kernel_id: '',
    ramdisk_id: '',
    state,
    state_description: task ?? '',
    progress: '',
    access_ip_v4: null,
    access_ip_v6: null,
    image_meta: {},
    metadata: instance.metadata,
    ...(payload === 'InstanceUpdatePayload' ? updated(moment) : {}),
    ...(event.type === 'instance.create.start' ? { image_name: instance.image } : {}),
    ...(event.type === 'instance.create.end' ? { fixed_ips: [], message: 'Success' } : {}),
    ...(raised === undefined ? {} : { exception: raised.exception, message: raised.message, code: raised.http }),
  }
}

function updated({ event, state, stateBefore }: Moment): Record<string, unknown> {
  const { from, to } = dayOf(event.at)
  return {
    old_state: stateBefore,
    old_task_state: null,
    new_task_state: null,
    audit_period_beginning: plainTime(from),
    audit_period_ending: plainTime(to),
    bandwidth: {},
    ...(event.before?.name === undefined ? {} : { old_display_name: event.before.name }),
    state,
  }
}
