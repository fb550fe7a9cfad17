import type { Kysely } from 'kysely'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Database } from './schema.ts'

/** The two families of SQL that we speak; MariaDB is `mysql`. */
export type DialectName = 'sqlite' | 'mysql'

/** What a handle knows beside its tables. */
export type Setting = { readonly dialect: DialectName; readonly clock: Clock; readonly log: Log }

/** An open database, or a transaction of it: store functions take either. */
export type Db = Kysely<Database> & Setting

/** Gives a bare Kysely handle its setting. */
export const withSetting = (bare: Kysely<Database>, { dialect, clock, log }: Setting): Db =>
  Object.assign(bare, { dialect, clock, log })
