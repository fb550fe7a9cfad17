import { unresponsiveAfterMs } from '../../model/health.ts'
import type { Filter } from '../filter.ts'

/**
 * Lets through the hosts whose compute service is enabled, was heard of within the last `downSeconds`, and had heard itself
 * shortly before: a host that speaks and is deaf would not take the message.
 */
export const computeUp =
  (serviceDownTime: number, pingSeconds: number): Filter =>
  (host, { now }) => {
    const service = host.service
    if (!service) return { reason: 'its compute service has never reported', group: 'down' }
    if (service.disabled)
      return {
        reason: service.disabledReason ? `disabled: ${service.disabledReason}` : 'disabled',
        group: 'disabled',
      }
    const silentMs = now - service.seenAt
    if (silentMs > serviceDownTime * 1000)
      return {
        reason: `down: not heard of for ${Math.floor(silentMs / 1000)} s (at most ${serviceDownTime} s)`,
        group: 'down',
      }
    const limitMs = unresponsiveAfterMs(pingSeconds)
    if (service.silentMs === undefined || service.silentMs <= limitMs) return undefined
    return {
      reason: `degraded: has not heard itself on the bus for ${Math.floor(service.silentMs / 1000)} s (at most ${limitMs / 1000} s)`,
      group: 'degraded',
    }
  }
