import type { ChannelModel } from 'amqplib'
import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Unreachable } from './dial.ts'

/** What a kept channel needs of its link. */
export type Holder = {
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly graceMs: number
  /** Aborted when the link is closed. */
  readonly stopped: AbortSignal
  /** The current connection. */
  readonly model: ChannelModel | undefined
  /** Why the broker accepts no messages now; undefined while it does. */
  readonly blocked: string | undefined
  /**
   * How long to wait for a broker that accepts no messages: the requested time, or less if this side is about to
   * disconnect.
   */
  patience(ms: number): number
  /** Resolves after the grace period; does not keep the process alive. */
  limit(): Promise<void>
  /** Why nothing can be sent. */
  down(): Unreachable
  /** The broker refuses what a channel declares (an error), or no longer does (undefined). */
  refused(e: unknown): void
  /** Tells the listeners that the connection or a channel came or went. */
  changed(renewed: boolean): void
}
