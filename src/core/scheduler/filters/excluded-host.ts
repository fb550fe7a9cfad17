import type { Filter } from '../filter.ts'

/** Turns away the hosts on which this boot has failed already. */
export const excludedHost: Filter = (host, { spec }) =>
  spec.excluded.includes(host.name)
    ? { reason: 'failed here in an earlier attempt', group: 'where it failed in an earlier attempt' }
    : undefined
