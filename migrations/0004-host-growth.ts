import type { Kysely } from 'kysely'

/** Whether an administrator has accepted that a host has more than it was known to have. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema
    .alterTable('hosts')
    .addColumn('growth_accepted', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> =>
  db.schema.alterTable('hosts').dropColumn('growth_accepted').execute()
