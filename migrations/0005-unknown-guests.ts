import type { Kysely } from 'kysely'

/** The guests on a host that are no instances of this cloud: how many, and the ids of some; null if there are none. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('hosts').addColumn('unknown_guests', 'text').execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('hosts').dropColumn('unknown_guests').execute()
