import type { Kysely } from 'kysely'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Database } from './schema.ts'

/** The two SQL dialects; MariaDB is `mysql`. */
export type DialectName = 'sqlite' | 'mysql'

/** What a handle knows besides its tables. */
export type Setting = { readonly dialect: DialectName; readonly clock: Clock; readonly log: Log }

/** An open database, or a transaction of it: store functions accept both. */
export type Db = Kysely<Database> & Setting

/** Attaches the settings to a bare Kysely handle. */
export const withSetting = (bare: Kysely<Database>, { dialect, clock, log }: Setting): Db =>
  Object.assign(bare, { dialect, clock, log })
