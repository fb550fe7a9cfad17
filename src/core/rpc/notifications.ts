import type { Ids } from '../base/ids.ts'
import type { Context } from '../model/context.ts'

/** A notification for listeners of oslo.messaging. */
export type Notification = {
  /** Part of the queue's name, `<topic>.<priority>`. */
  readonly topic: string
  readonly priority: 'info' | 'error'
  /** The publisher: `compute.<host>` for some readers and `nova-compute:<host>` for others. */
  readonly publisher: string
  readonly eventType: string
  /** When it happened: milliseconds since the epoch. */
  readonly at: number
  /** The user and project that the notification is about. */
  readonly context: Context
  readonly payload: unknown
}

/** Writes a notification as JSON text under its routing key; without an auth token, like every message of ours. */
export const notificationWriter =
  (ids: Ids, writeContext: (context: Context) => string) =>
  ({ topic, priority, publisher, eventType, at, context, payload }: Notification): [key: string, json: string] => {
    const message = {
      message_id: ids.uuid(),
      publisher_id: publisher,
      event_type: eventType,
      priority: priority.toUpperCase(),
      payload,
      // As Python prints a time without a zone: a blank between date and time, microseconds.
      timestamp: `${new Date(at).toISOString().slice(0, -1).replace('T', ' ')}000`,
      _unique_id: ids.hex(),
    }
    return [`${topic}.${priority}`, `${JSON.stringify(message).slice(0, -1)}${writeContext(context)}}`]
  }
