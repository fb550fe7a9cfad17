import type { Filter } from '../filter.ts'

/** Lets through the hosts whose compute service is enabled and was heard of within the last `downSeconds`. */
export const computeUp =
  (downSeconds: number): Filter =>
  (host, { now }) => {
    const service = host.service
    if (!service) return { reason: 'its compute service has never reported', group: 'down' }
    if (service.disabled)
      return {
        reason: service.disabledReason ? `disabled: ${service.disabledReason}` : 'disabled',
        group: 'disabled',
      }
    const silentMs = now - service.seenAt
    if (silentMs <= downSeconds * 1000) return undefined
    return {
      reason: `down: not heard of for ${Math.floor(silentMs / 1000)} s (at most ${downSeconds} s)`,
      group: 'down',
    }
  }
