import type { Filter } from '../filter.ts'

/** Lets through only the host that an administrator named; all, where none was named. */
export const forcedHost: Filter = (host, { wish }) => {
  const forced = wish.forcedHost
  if (forced === undefined || host.name === forced) return undefined
  return { reason: `not ${forced}, the host asked for`, group: `other than ${forced}, the host asked for` }
}
