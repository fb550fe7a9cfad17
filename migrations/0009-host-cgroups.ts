import type { Kysely } from 'kysely'

/** Which controllers of cgroups bound the guests of a host, and why not others; null of a host that has not said. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('hosts').addColumn('cgroups', 'text').execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> => db.schema.alterTable('hosts').dropColumn('cgroups').execute()
