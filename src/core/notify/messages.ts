import type { Instance, Published } from '../contracts/shapes.ts'
import type { Context } from '../model/context.ts'
import type { Notification } from '../rpc/notifications.ts'
import { momentOf } from './moment.ts'
import { table } from './table.ts'
import { plainPayload } from './unversioned.ts'
import { flavorPayload, instancePayload, servicePayload } from './versioned.ts'

/** The two formats of Nova's notifications. */
export type Format = 'versioned' | 'unversioned'

/** The daemon that publishes. */
export type Publisher = { readonly binary: string; readonly host: string }

/**
 * The notifications of an event: one message in each format that Nova has for it. An event of an instance needs the
 * instance; if that is not known any more, there is no notification.
 */
export function notificationsOf(
  event: Published,
  {
    instance,
    formats,
    publisher,
  }: { instance: Instance | undefined; formats: readonly Format[]; publisher: Publisher },
): Notification[] {
  const row = table.get(event.type)
  if (!row) return []
  // Nova's hosts publish the notifications of their instances. Before an instance has a host, the publisher is this
  // daemon.
  const { binary, host } = event.host === undefined ? publisher : { binary: 'compute', host: event.host }
  const shared = {
    priority: event.type.endsWith('.error') ? 'error' : 'info',
    at: event.at,
    context: contextOf(event, instance),
  } as const
  const versioned = (payload: unknown): Notification => ({
    ...shared,
    topic: 'versioned_notifications',
    publisher: `nova-${binary}:${host}`,
    eventType: row.versioned,
    payload,
  })
  if (row.about === 'flavor')
    return event.flavor && formats.includes('versioned') ? [versioned(flavorPayload(event.flavor))] : []
  if (row.about === 'service')
    return event.service && formats.includes('versioned') ? [versioned(servicePayload(event.service))] : []
  if (!instance) return []
  const moment = momentOf(event, instance)
  return formats.map((format) =>
    format === 'versioned' || row.unversioned === undefined
      ? versioned(instancePayload(row.payload, moment))
      : {
          ...shared,
          topic: 'notifications',
          publisher: `${binary}.${host}`,
          eventType: row.unversioned,
          payload: plainPayload(row.payload, moment),
        },
  )
}

const contextOf = ({ requestId, userId, projectId }: Published, instance: Instance | undefined): Context => ({
  requestId,
  userId: userId ?? instance?.userId ?? '',
  projectId,
  roles: [],
  isAdmin: false,
})
