import type { Filter } from '../filter.ts'

/** Lets through only the host that an administrator named; all, where none was named. */
export const forcedHost: Filter = (host, { spec }) => {
  const forced = spec.forcedHost
  if (forced === undefined || host.name === forced) return undefined
  return { reason: `not ${forced}, the host asked for`, group: `other than ${forced}, the host asked for` }
}
