import type { Kysely } from 'kysely'

/** Which directory has the image files of this cloud: one row, the id that lies in the directory. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema
    .createTable('image_directory')
    .addColumn('one', 'integer', (c) => c.notNull().primaryKey())
    .addColumn('id', 'varchar(36)', (c) => c.notNull())
    .execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> => db.schema.dropTable('image_directory').execute()
