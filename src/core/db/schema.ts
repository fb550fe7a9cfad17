import type { Generated } from 'kysely'

/**
 * The tables as they are now; a test compares them with the result of the migrations, on both dialects. Times are
 * milliseconds since the epoch, JSON is text, flags are 0 and 1.
 */
export type Database = {
  projects: { id: string; created_at: number }
  quotas: { project_id: string; resource: string; max: number }
  flavors: { id: string; name: string; vcpus: number; memory_mb: number; disk_gb: number; created_at: number }
  images: {
    id: string
    name: string
    project_id: string
    status: string
    disk_format: string | null
    min_memory_mb: number
    min_disk_gb: number
    metadata: string
    created_at: number
    virtual_bytes: number | null
    visibility: string
  }
  image_files: {
    image_id: string
    part: string
    size_bytes: number | null
    sha256: string | null
    complete: number
  }
  image_directory: { one: number; id: string }
  hosts: {
    name: string
    host_id: string
    incarnation: string
    availability_zone: string
    driver: string
    hypervisor: string
    hypervisor_version: string
    accelerator: string
    total_vcpus: number
    total_memory_mb: number
    total_disk_gb: number
    used_vcpus: number
    used_memory_mb: number
    used_disk_gb: number
    instances: number
    failed_at: number | null
    created_at: number
    growth_accepted: Generated<number>
    unknown_guests: Generated<string | null>
    cgroups: Generated<string | null>
  }
  services: {
    id: string
    binary: string
    host: string
    version: string
    incarnation: string
    disabled: number
    disabled_reason: string | null
    seen_at: number
    started_at: number
    reported_by: string | null
    silent_ms: number | null
    contracts: string | null
  }
  leases: { name: string; holder: string; until: number }
  instances: {
    id: string
    name: string
    project_id: string
    user_id: string
    state: string
    power: string
    host: string | null
    flavor_id: string
    flavor: string
    image_id: string
    image: string
    vcpus: number
    memory_mb: number
    disk_gb: number
    availability_zone: string | null
    description: string | null
    metadata: string
    hints: string
    user_data: string | null
    public_key: string | null
    mac: string
    generation: number
    fault: string | null
    created_at: number
    updated_at: number
    launched_at: number | null
  }
  allocations: {
    instance_id: string
    host: string
    role: string
    vcpus: number
    memory_mb: number
    disk_gb: number
    created_at: number
  }
  operations: {
    id: string
    subject_kind: string
    subject_id: string
    subject_name: string
    project_id: string
    user_id: string
    kind: string
    args: string
    placing: string | null
    results: string | null
    request_id: string
    idempotency_key: string | null
    state: string
    stage: number
    undoing: number
    step: string | null
    steps: string
    host: string | null
    attempt: number
    before_state: string | null
    deadline: number
    cancel_requested: number
    retry_of: string | null
    fault: string | null
    created_at: number
    finished_at: number | null
  }
  operation_subjects: { operation_id: string; kind: string; id: string; open_id: string | null }
  operation_hosts: {
    operation_id: string
    service: string
    host: string
    role: string
    state: string
    incarnation: string | null
    lease_until: number | null
    step: string | null
    steps: string
    attempt: number
    progress: string | null
    queued_at: number
    dispatched_at: number
  }
  decisions: { operation_id: string; instance_id: string; at: number; record: string }
  events: {
    id: Generated<number>
    at: number
    type: string
    instance_id: string | null
    instance_name: string | null
    operation_id: string | null
    host: string | null
    request_id: string
    project_id: string
    message: string | null
    code: string | null
    user_id: string | null
  }
  instance_history: {
    id: string
    name: string
    project_id: string
    user_id: string
    host: string | null
    flavor: string
    image: string
    created_at: number
    launched_at: number | null
    deleted_at: number
    record: string
  }
}
