import type { Kysely } from 'kysely'

/** Hosts are read with their services: without an index, a server compares each host with each service. */
// biome-ignore lint/suspicious/noExplicitAny: a migration must not depend on what the tables look like today.
export const up = (db: Kysely<any>): Promise<void> =>
  db.schema.createIndex('services_by_host').on('services').columns(['host', 'binary']).execute()

// biome-ignore lint/suspicious/noExplicitAny: as above.
export const down = (db: Kysely<any>): Promise<void> => db.schema.dropIndex('services_by_host').on('services').execute()
