import { type Kysely, sql } from 'kysely'

/**
 * The first tables. Times are milliseconds since the epoch (bigint); JSON is text (mediumtext: MySQL's plain text ends at
 * 64 KB); flags are 0 and 1, because the two dialects agree on nothing richer. Frozen: later changes are later files.
 */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export async function up(db: Kysely<any>): Promise<void> {
  await people(db)
  await catalogue(db)
  await machines(db)
  await instances(db)
  await operations(db)
  await history(db)
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function down(db: Kysely<any>): Promise<void> {
  for (const table of [
    'instance_history',
    'events',
    'decisions',
    'operations',
    'instances',
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
async function people(db: Kysely<any>): Promise<void> {
  // A project's row is also the lock under which its quota is counted.
  await db.schema
    .createTable('projects')
    .addColumn('id', 'varchar(255)', (c) => c.notNull().primaryKey())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('quotas')
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('resource', 'varchar(64)', (c) => c.notNull())
    .addColumn('max', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('quotas_pk', ['project_id', 'resource'])
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function catalogue(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('flavors')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('name', 'varchar(255)', (c) => c.notNull().unique())
    .addColumn('vcpus', 'integer', (c) => c.notNull())
    .addColumn('memory_mb', 'integer', (c) => c.notNull())
    .addColumn('disk_gb', 'integer', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('images')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('name', 'varchar(255)', (c) => c.notNull().unique())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('status', 'varchar(16)', (c) => c.notNull())
    .addColumn('disk_format', 'varchar(16)')
    .addColumn('min_memory_mb', 'integer', (c) => c.notNull())
    .addColumn('min_disk_gb', 'integer', (c) => c.notNull())
    .addColumn('metadata', sql`mediumtext`, (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('image_files')
    .addColumn('image_id', 'varchar(36)', (c) => c.notNull().references('images.id').onDelete('cascade'))
    .addColumn('part', 'varchar(16)', (c) => c.notNull())
    .addColumn('size_bytes', 'bigint', (c) => c.notNull())
    .addColumn('sha256', 'varchar(64)', (c) => c.notNull())
    .addColumn('complete', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('image_files_pk', ['image_id', 'part'])
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function machines(db: Kysely<any>): Promise<void> {
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
    // Changed only by the guarded update that claims, and by the transaction that lets go.
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
    .addColumn('state', 'varchar(16)', (c) => c.notNull())
    .addColumn('power', 'varchar(16)', (c) => c.notNull())
    .addColumn('host', 'varchar(255)', (c) => c.references('hosts.name'))
    .addColumn('flavor', 'varchar(255)', (c) => c.notNull())
    .addColumn('image_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('image', 'varchar(255)', (c) => c.notNull())
    .addColumn('vcpus', 'integer', (c) => c.notNull())
    .addColumn('memory_mb', 'integer', (c) => c.notNull())
    .addColumn('disk_gb', 'integer', (c) => c.notNull())
    .addColumn('availability_zone', 'varchar(255)')
    .addColumn('forced_host', 'varchar(255)')
    .addColumn('description', 'varchar(255)')
    .addColumn('metadata', sql`mediumtext`, (c) => c.notNull())
    .addColumn('hints', sql`mediumtext`, (c) => c.notNull())
    .addColumn('user_data', sql`mediumtext`)
    .addColumn('public_key', 'text')
    // Raised each time the instance gets another owner; a hypervisor refuses to start an older one.
    .addColumn('generation', 'integer', (c) => c.notNull())
    .addColumn('fault', sql`mediumtext`)
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addColumn('launched_at', 'bigint')
    .execute()
  await db.schema.createIndex('instances_by_name').on('instances').columns(['project_id', 'name']).execute()
  await db.schema.createIndex('instances_by_host').on('instances').column('host').execute()
  // Answers "how much does this project use" from the index alone.
  await db.schema
    .createIndex('instances_by_use')
    .on('instances')
    .columns(['project_id', 'vcpus', 'memory_mb'])
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function operations(db: Kysely<any>): Promise<void> {
  // No foreign key to instances: an operation's record outlives its instance.
  await db.schema
    .createTable('operations')
    .addColumn('id', 'varchar(36)', (c) => c.notNull().primaryKey())
    .addColumn('instance_id', 'varchar(36)', (c) => c.notNull())
    .addColumn('instance_name', 'varchar(255)', (c) => c.notNull())
    .addColumn('project_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('user_id', 'varchar(255)', (c) => c.notNull())
    .addColumn('kind', 'varchar(32)', (c) => c.notNull())
    .addColumn('args', sql`mediumtext`, (c) => c.notNull())
    .addColumn('request_id', 'varchar(64)', (c) => c.notNull())
    .addColumn('idempotency_key', 'varchar(300)', (c) => c.unique())
    .addColumn('state', 'varchar(16)', (c) => c.notNull())
    // The instance while the operation is open, null after: unique, so that an instance has one open operation at most.
    .addColumn('open_instance_id', 'varchar(36)', (c) => c.unique())
    .addColumn('step', 'varchar(32)')
    .addColumn('steps', sql`mediumtext`, (c) => c.notNull())
    .addColumn('host', 'varchar(255)')
    .addColumn('incarnation', 'varchar(64)')
    .addColumn('lease_until', 'bigint')
    .addColumn('attempt', 'integer', (c) => c.notNull())
    .addColumn('deadline', 'bigint', (c) => c.notNull())
    .addColumn('cancel_requested', 'integer', (c) => c.notNull())
    .addColumn('retry_of', 'varchar(36)')
    .addColumn('fault', sql`mediumtext`)
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('dispatched_at', 'bigint')
    .addColumn('finished_at', 'bigint')
    .execute()
  await db.schema.createIndex('operations_by_state').on('operations').columns(['state', 'deadline']).execute()
  await db.schema
    .createIndex('operations_by_instance')
    .on('operations')
    .columns(['instance_id', 'created_at'])
    .execute()
  await db.schema.createIndex('operations_by_time').on('operations').column('created_at').execute()
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
