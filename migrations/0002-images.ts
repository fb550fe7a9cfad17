import type { Kysely } from 'kysely'

/**
 * How large a guest sees an image's disk (null: not looked at yet), and who sees the image. Images from before were
 * everybody's, and stay so; one that an older conductor adds from now on is its project's. Names are unique in a project.
 */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('images').addColumn('virtual_bytes', 'bigint').execute()
  await db.schema
    .alterTable('images')
    .addColumn('visibility', 'varchar(16)', (c) => c.notNull().defaultTo('private'))
    .execute()
  await db.updateTable('images').set({ visibility: 'public' }).execute()
  await db.schema.dropIndex('images_by_name').on('images').execute()
  await db.schema.createIndex('images_by_name').on('images').columns(['name', 'project_id']).unique().execute()
  await db.schema.createIndex('images_of_project').on('images').column('project_id').execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function down(db: Kysely<any>): Promise<void> {
  await db.schema.dropIndex('images_of_project').on('images').execute()
  await db.schema.alterTable('images').dropColumn('visibility').execute()
  await db.schema.alterTable('images').dropColumn('virtual_bytes').execute()
}
