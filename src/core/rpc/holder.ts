import type { ChannelModel } from 'amqplib'
import type { Clock } from '../base/clock.ts'
import type { Failure } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'

/** What a kept channel needs of its link. */
export type Holder = {
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly graceMs: number
  /** Aborted when the link is closed. */
  readonly stopped: AbortSignal
  /** The connection of now. */
  readonly model: ChannelModel | undefined
  /** Why the broker takes no messages now; undefined while it does. */
  readonly blocked: string | undefined
  /** How long to wait for a broker that takes no messages: what was asked for, less where this side is about to hang up. */
  patience(ms: number): number
  /** Resolves after the grace, and does not keep the process alive. */
  limit(): Promise<void>
  /** Why nothing can be sent. */
  down(): Failure<'BusDown'>
  /** Tells the listeners that something came or went. */
  changed(renewed: boolean): void
}
