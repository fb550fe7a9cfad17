import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Tuning } from './handshake.ts'
import type { Memory } from './memory.ts'
import type { Flusher } from './outbox.ts'
import type { Shares } from './share.ts'
import type { Strangers } from './strangers.ts'
import type { Users } from './users.ts'
import type { Vhost } from './vhost.ts'

/** What all connections of a broker share. */
export type ConnectionDeps = {
  clock: Clock
  ids: Ids
  log: Log
  memory: Memory
  /** Whether publishers are held back. */
  alarm: Pick<Memory, 'alarmed'>
  flusher: Flusher
  users: Users
  vhosts: ReadonlyMap<string, Vhost>
  offer: Tuning
  /** The largest message of a user without limits, in bytes. */
  messageBytes: number
  shares: Shares
  strangers: Strangers
}
