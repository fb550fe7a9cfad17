import type { Clock } from '../base/clock.ts'
import { reason } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Instance, Published } from '../contracts/shapes.ts'
import type { Notification } from '../rpc/notifications.ts'
import { type Format, notificationsOf, type Publisher } from './messages.ts'
import { table } from './table.ts'

/** What a notifier depends on. */
export type NotifierDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly publisher: Publisher
  readonly formats: readonly Format[]
  /** The instances of these ids, deleted ones too, as they are now. */
  readonly instances: (ids: readonly string[]) => Promise<ReadonlyMap<string, Instance>>
  readonly notify: (notification: Notification) => void
}

/** Turns events into notifications, in the background. */
export type Notifier = {
  /** Accepts an event; never waits. */
  receive(event: Published): void
  /** Sends the waiting notifications. */
  close(): Promise<void>
}

/** Events wait this long for others: one query to the database serves them all. */
const gatherMs = 100
/** Maximum number of events that one query serves. */
const batch = 500
/** Maximum number of events that wait while the database does not answer. */
const bufferLimit = 10_000
const againMs = 2_000

/** Opens a notifier. Without formats it does nothing. */
export function openNotifier({ clock, log, publisher, formats, instances, notify }: NotifierDeps): Notifier {
  const waiting: Published[] = []
  let dropped = 0
  let ending = false
  let cancel: (() => void) | undefined
  let running: Promise<void> | undefined

  const soon = (ms: number) => {
    if (cancel !== undefined || ending) return
    cancel = clock.after(ms, () => {
      cancel = undefined
      void flush()
    })
  }

  const send = async (events: readonly Published[]): Promise<void> => {
    const ids = new Set(events.flatMap(({ instanceId }) => instanceId ?? []))
    const found = ids.size === 0 ? new Map<string, Instance>() : await instances([...ids])
    for (const event of events)
      for (const notification of notificationsOf(event, {
        instance: found.get(event.instanceId ?? ''),
        formats,
        publisher,
      }))
        notify(notification)
  }

  const work = async (): Promise<void> => {
    if (dropped > 0) log.warn({ dropped }, 'notifications dropped: database unavailable')
    dropped = 0
    while (waiting.length > 0) {
      const events = waiting.slice(0, batch)
      try {
        await send(events)
      } catch (e) {
        log.warn({ err: e, waiting: waiting.length }, `notifications wait for the database: ${reason(e)}`)
        return soon(againMs)
      }
      // Events that were dropped in the meantime are the oldest, and were among those just sent.
      const last = events.at(-1)
      waiting.splice(0, waiting.indexOf(last as Published) + 1)
    }
  }

  const flush = (): Promise<void> => {
    running ??= work().finally(() => {
      running = undefined
      if (waiting.length > 0) soon(gatherMs)
    })
    return running
  }

  return {
    receive(event) {
      if (formats.length === 0 || !table.has(event.type)) return
      waiting.push(event)
      if (waiting.length > bufferLimit) {
        waiting.shift()
        dropped++
      }
      soon(gatherMs)
    },
    async close() {
      ending = true
      cancel?.()
      await running
      await flush()
    },
  }
}
