import type { Kysely } from 'kysely'

/** An event that tells of a failure keeps its code: owners and administrators read different texts of it. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('events').addColumn('code', 'varchar(255)').execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> => db.schema.alterTable('events').dropColumn('code').execute()
