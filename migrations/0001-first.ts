import { type Kysely, sql } from 'kysely'

/**
 * The first tables. Times are milliseconds since the epoch (bigint); JSON is text (mediumtext: MySQL's plain text ends at
 * 64 KB); flags are 0 and 1, because the two dialects agree on nothing richer. Foreign keys are constraints of the table:
 * MySQL 8 reads those that stand beside a column, and ignores them. Frozen with the first release: later changes are later
 * files.
 */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export async function up(db: Kysely<any>): Promise<void> {
  await projects(db)
  await catalogue(db)
  await hosts(db)
  await instances(db)
  await operations(db)
  await participants(db)
  await history(db)
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function down(db: Kysely<any>): Promise<void> {
  for (const table of [
    'instance_history',
    'events',
    'decisions',
    'operation_hosts',
    'operation_subjects',
    'operations',
    'allocations',
    'instances',
    'leases',
    'services',
    'hosts',
    'image_files',
    'images',
    'flavors',
    'quotas',
    'projects',
  ])
    await db.schema.dropTable(table).ifExists().execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function projects(db: Kysely<any>): Promise<void> {
  // A project's row is also the lock under which its quota is counted.
  await db.schema
    .createTable('projects')
    .addColumn('id', 'varchar(255)', (c) => c.notNull().primaryKey())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('quotas')
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('resource', 'varchar(64)', (c) => c.notNull())
    .addColumn('max', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('quotas_pk', ['project_id', 'resource'])
    .addForeignKeyConstraint('quotas_of_project', ['project_id'], 'projects', ['id'], (c) => c.onDelete('cascade'))
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function catalogue(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('flavors')
    // Nova's flavorid is any text.
    .addColumn('id', 'varchar(255)', (c) => c.notNull().primaryKey())
    .addColumn('name', 'varchar(255)', (c) => c.notNull().unique())
    .addColumn('vcpus', 'integer', (c) => c.notNull())
    .addColumn('memory_mb', 'integer', (c) => c.notNull())
    .addColumn('disk_gb', 'integer', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('images')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    // Unique by an index, which can be dropped on both dialects: Glance allows equal names.
    .addColumn('name', 'varchar(255)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('status', 'varchar(16)', (c) => c.notNull())
    .addColumn('disk_format', 'varchar(16)')
    .addColumn('min_memory_mb', 'integer', (c) => c.notNull())
    .addColumn('min_disk_gb', 'integer', (c) => c.notNull())
    .addColumn('metadata', sql`mediumtext`, (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('images_by_name').on('images').column('name').unique().execute()
  await db.schema
    .createTable('image_files')
    .addColumn('image_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('part', 'varchar(16)', (c) => c.notNull())
    // Unknown until the bytes are here, if an image is created before its data is sent.
    .addColumn('size_bytes', 'bigint')
    .addColumn('sha256', 'varchar(64)')
    .addColumn('complete', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('image_files_pk', ['image_id', 'part'])
    .addForeignKeyConstraint('image_files_of_image', ['image_id'], 'images', ['id'], (c) => c.onDelete('cascade'))
    .execute()
  await db.schema.createIndex('image_files_by_content').on('image_files').column('sha256').execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function hosts(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('hosts')
    .addColumn('name', 'varchar(255)', (c) => c.notNull().primaryKey())
    .addColumn('host_id', 'varchar(64)', (c) => c.notNull())
    .addColumn('incarnation', 'varchar(64)', (c) => c.notNull())
    .addColumn('availability_zone', 'varchar(255)', (c) => c.notNull())
    .addColumn('driver', 'varchar(64)', (c) => c.notNull())
    .addColumn('hypervisor', 'varchar(255)', (c) => c.notNull())
    .addColumn('hypervisor_version', 'varchar(255)', (c) => c.notNull())
    .addColumn('accelerator', 'varchar(64)', (c) => c.notNull())
    .addColumn('total_vcpus', 'integer', (c) => c.notNull())
    .addColumn('total_memory_mb', 'integer', (c) => c.notNull())
    .addColumn('total_disk_gb', 'integer', (c) => c.notNull())
    // The sums over its allocations: changed only by the guarded update that claims, and by the transaction that frees.
    .addColumn('used_vcpus', 'integer', (c) => c.notNull())
    .addColumn('used_memory_mb', 'integer', (c) => c.notNull())
    .addColumn('used_disk_gb', 'integer', (c) => c.notNull())
    .addColumn('instances', 'integer', (c) => c.notNull())
    .addColumn('failed_at', 'bigint')
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('services')
    .addColumn('id', 'varchar(255)', (c) => c.notNull().primaryKey())
    .addColumn('binary', 'varchar(64)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)', (c) => c.notNull())
    .addColumn('version', 'varchar(64)', (c) => c.notNull())
    .addColumn('incarnation', 'varchar(64)', (c) => c.notNull())
    .addColumn('disabled', 'integer', (c) => c.notNull())
    .addColumn('disabled_reason', 'varchar(255)')
    .addColumn('seen_at', 'bigint', (c) => c.notNull())
    .addColumn('started_at', 'bigint', (c) => c.notNull())
    // The life that reported the two others: a daemon that is older than these columns leaves them as they are.
    .addColumn('reported_by', 'varchar(64)')
    .addColumn('silent_ms', 'bigint')
    .addColumn('contracts', sql`mediumtext`)
    .execute()
  // What one daemon at a time does, and until when it may count on that.
  await db.schema
    .createTable('leases')
    .addColumn('name', 'varchar(64)', (c) => c.notNull().primaryKey())
    .addColumn('holder', 'varchar(64)', (c) => c.notNull())
    .addColumn('until', 'bigint', (c) => c.notNull())
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function instances(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('instances')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('name', 'varchar(255)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('user_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('state', 'varchar(32)', (c) => c.notNull())
    .addColumn('power', 'varchar(16)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)')
    .addColumn('flavor_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('flavor', 'varchar(255)', (c) => c.notNull())
    // Empty for an instance that starts from a volume.
    .addColumn('image_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('image', 'varchar(255)', (c) => c.notNull())
    .addColumn('vcpus', 'integer', (c) => c.notNull())
    .addColumn('memory_mb', 'integer', (c) => c.notNull())
    .addColumn('disk_gb', 'integer', (c) => c.notNull())
    .addColumn('availability_zone', 'varchar(255)')
    .addColumn('description', 'varchar(255)')
    .addColumn('metadata', sql`mediumtext`, (c) => c.notNull())
    .addColumn('hints', sql`mediumtext`, (c) => c.notNull())
    .addColumn('user_data', sql`mediumtext`)
    .addColumn('public_key', 'text')
    // Of its one network card.
    .addColumn('mac', 'varchar(17)', (c) => c.notNull())
    // Raised each time the instance gets another host; a hypervisor refuses to start an older one.
    .addColumn('generation', 'integer', (c) => c.notNull())
    .addColumn('fault', sql`mediumtext`)
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addColumn('launched_at', 'bigint')
    .addForeignKeyConstraint('instances_on_host', ['host'], 'hosts', ['name'])
    .execute()
  await db.schema.createIndex('instances_by_name').on('instances').columns(['project_id', 'name']).execute()
  // No MAC is given twice.
  await db.schema.createIndex('instances_by_mac').on('instances').column('mac').unique().execute()
  await db.schema.createIndex('instances_by_host').on('instances').column('host').execute()
  await db.schema.createIndex('instances_by_time').on('instances').columns(['created_at', 'id']).execute()
  await db.schema
    .createIndex('instances_of_project')
    .on('instances')
    .columns(['project_id', 'created_at', 'id'])
    .execute()
  // Answers "how much does this project use" from the index alone.
  await db.schema
    .createIndex('instances_by_use')
    .on('instances')
    .columns(['project_id', 'vcpus', 'memory_mb'])
    .execute()
  // Room on a host that an instance holds, and so the hosts that may hold something of the instance.
  await db.schema
    .createTable('allocations')
    .addColumn('instance_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)', (c) => c.notNull())
    .addColumn('role', 'varchar(16)', (c) => c.notNull())
    .addColumn('vcpus', 'integer', (c) => c.notNull())
    .addColumn('memory_mb', 'integer', (c) => c.notNull())
    .addColumn('disk_gb', 'integer', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('allocations_pk', ['instance_id', 'host', 'role'])
    .addForeignKeyConstraint('allocations_on_host', ['host'], 'hosts', ['name'])
    .execute()
  await db.schema.createIndex('allocations_by_host').on('allocations').column('host').execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function operations(db: Kysely<any>): Promise<void> {
  // No foreign key to the subject: an operation's record outlives it.
  await db.schema
    .createTable('operations')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    // Its first subject; operation_subjects has all of them.
    .addColumn('subject_kind', 'varchar(16)', (c) => c.notNull())
    .addColumn('subject_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('subject_name', 'varchar(255)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('user_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('kind', 'varchar(64)', (c) => c.notNull())
    .addColumn('args', sql`mediumtext`, (c) => c.notNull())
    // Of a placed kind: hosts that may not be chosen, why, and whether the caller named the host.
    .addColumn('placing', sql`mediumtext`)
    // What steps have left for later legs; gone when the operation ends.
    .addColumn('results', sql`mediumtext`)
    .addColumn('request_id', 'varchar(64)', (c) => c.notNull())
    .addColumn('idempotency_key', 'varchar(300)', (c) => c.unique())
    .addColumn('state', 'varchar(16)', (c) => c.notNull())
    // The stage of its kind that is open; counted down while it is undone.
    .addColumn('stage', 'integer', (c) => c.notNull())
    .addColumn('undoing', 'integer', (c) => c.notNull())
    .addColumn('step', 'varchar(64)')
    .addColumn('steps', sql`mediumtext`, (c) => c.notNull())
    .addColumn('host', 'varchar(255)')
    .addColumn('attempt', 'integer', (c) => c.notNull())
    // The state in which it found its instance.
    .addColumn('before_state', 'varchar(32)')
    .addColumn('deadline', 'bigint', (c) => c.notNull())
    .addColumn('cancel_requested', 'integer', (c) => c.notNull())
    .addColumn('retry_of', 'varchar(36)')
    .addColumn('fault', sql`mediumtext`)
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('finished_at', 'bigint')
    .execute()
  await db.schema.createIndex('operations_by_state').on('operations').columns(['state', 'deadline']).execute()
  await db.schema
    .createIndex('operations_by_subject')
    .on('operations')
    .columns(['subject_id', 'created_at', 'id'])
    .execute()
  await db.schema.createIndex('operations_by_time').on('operations').columns(['created_at', 'id']).execute()
  await db.schema
    .createIndex('operations_of_project')
    .on('operations')
    .columns(['project_id', 'created_at', 'id'])
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function participants(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('operation_subjects')
    .addColumn('operation_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('kind', 'varchar(16)', (c) => c.notNull())
    .addColumn('id', 'varchar(36)', (c) => c.notNull())
    // The id while the operation is open, null after: a subject has one open operation at most.
    .addColumn('open_id', 'varchar(36)', (c) => c.unique())
    .addPrimaryKeyConstraint('operation_subjects_pk', ['operation_id', 'kind', 'id'])
    .addForeignKeyConstraint('subjects_of_operation', ['operation_id'], 'operations', ['id'], (c) =>
      c.onDelete('cascade'),
    )
    .execute()
  // Who takes part in an open operation; the rows go when it ends. An empty host is the schedulers' turn.
  await db.schema
    .createTable('operation_hosts')
    .addColumn('operation_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('service', 'varchar(32)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)', (c) => c.notNull())
    .addColumn('role', 'varchar(16)', (c) => c.notNull())
    .addColumn('state', 'varchar(16)', (c) => c.notNull())
    .addColumn('incarnation', 'varchar(64)')
    .addColumn('lease_until', 'bigint')
    .addColumn('step', 'varchar(64)')
    // The steps that it has come to in this operation, undone ones too: JSON objects with commas between.
    .addColumn('steps', sql`mediumtext`, (c) => c.notNull())
    .addColumn('attempt', 'integer', (c) => c.notNull())
    .addColumn('progress', 'text')
    .addColumn('queued_at', 'bigint', (c) => c.notNull())
    .addColumn('dispatched_at', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('operation_hosts_pk', ['operation_id', 'service', 'host'])
    .addForeignKeyConstraint('hosts_of_operation', ['operation_id'], 'operations', ['id'], (c) => c.onDelete('cascade'))
    .execute()
  await db.schema
    .createIndex('operation_hosts_by_state')
    .on('operation_hosts')
    .columns(['state', 'dispatched_at'])
    .execute()
  await db.schema.createIndex('operation_hosts_by_host').on('operation_hosts').columns(['host', 'service']).execute()
  await db.schema
    .createTable('decisions')
    .addColumn('operation_id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('instance_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('record', sql`mediumtext`, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('decisions_by_instance').on('decisions').columns(['instance_id', 'at']).execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function history(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('events')
    .addColumn('id', 'integer', (c) => c.notNull().primaryKey().autoIncrement())
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addColumn('type', 'varchar(64)', (c) => c.notNull())
    .addColumn('instance_id', 'varchar(36)')
    .addColumn('instance_name', 'varchar(255)')
    .addColumn('operation_id', 'varchar(36)')
    .addColumn('host', 'varchar(255)')
    .addColumn('request_id', 'varchar(64)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('message', 'text')
    .execute()
  await db.schema.createIndex('events_by_instance').on('events').columns(['instance_id', 'id']).execute()
  await db.schema.createIndex('events_of_project').on('events').columns(['project_id', 'id']).execute()
  await db.schema
    .createTable('instance_history')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('name', 'varchar(255)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('user_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)')
    .addColumn('flavor', 'varchar(255)', (c) => c.notNull())
    .addColumn('image', 'varchar(255)', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('launched_at', 'bigint')
    .addColumn('deleted_at', 'bigint', (c) => c.notNull())
    .addColumn('record', sql`mediumtext`, (c) => c.notNull())
    .execute()
  await db.schema.createIndex('history_by_time').on('instance_history').columns(['project_id', 'deleted_at']).execute()
  await db.schema.createIndex('history_by_age').on('instance_history').column('deleted_at').execute()
}
