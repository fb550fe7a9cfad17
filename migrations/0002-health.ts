import { type Kysely, sql } from 'kysely'

/** What a daemon tells of itself: how long it has not heard itself, and which versions of the contracts it speaks. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export async function up(db: Kysely<any>): Promise<void> {
  // The life that told the two others: a daemon that is older than these columns leaves what its newer life has told.
  await db.schema.alterTable('services').addColumn('reported_by', 'varchar(64)').execute()
  await db.schema.alterTable('services').addColumn('silent_ms', 'bigint').execute()
  await db.schema.alterTable('services').addColumn('contracts', sql`mediumtext`).execute()
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function down(db: Kysely<any>): Promise<void> {
  for (const column of ['reported_by', 'silent_ms', 'contracts'])
    await db.schema.alterTable('services').dropColumn(column).execute()
}
