import type { Ids } from '../base/ids.ts'
import type { Context } from '../model/context.ts'

/** Something that has happened, as listeners of oslo.messaging's notifications are told of it. */
export type Notification = {
  /** Of the queue, whose name is `<topic>.<priority>`. */
  readonly topic: string
  readonly priority: 'info' | 'error'
  /** Who tells it, `compute.<host>` to some readers and `nova-compute:<host>` to others. */
  readonly publisher: string
  readonly eventType: string
  /** When it happened: milliseconds since the epoch. */
  readonly at: number
  /** On whose account. */
  readonly context: Context
  readonly payload: unknown
}

/** Writes a notification as JSON text, under its routing key; without a token, as every message of ours. */
export const notificationWriter =
  (ids: Ids, writeContext: (context: Context) => string) =>
  ({ topic, priority, publisher, eventType, at, context, payload }: Notification): [key: string, json: string] => {
    const message = {
      message_id: ids.uuid(),
      publisher_id: publisher,
      event_type: eventType,
      priority: priority.toUpperCase(),
      payload,
      // As Python prints a time without a zone: a blank between day and hour, microseconds.
      timestamp: `${new Date(at).toISOString().slice(0, -1).replace('T', ' ')}000`,
      _unique_id: ids.hex(),
    }
    return [`${topic}.${priority}`, `${JSON.stringify(message).slice(0, -1)}${writeContext(context)}}`]
  }
