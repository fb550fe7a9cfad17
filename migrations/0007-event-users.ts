import type { Kysely } from 'kysely'

/** An event says who asked for what it tells of; null if nobody did. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('events').addColumn('user_id', 'varchar(255)').execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> => db.schema.alterTable('events').dropColumn('user_id').execute()
