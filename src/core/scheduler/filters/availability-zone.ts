import type { Filter } from '../filter.ts'

/** Lets through the hosts of the zone that was asked for; all, where none was. */
export const availabilityZone: Filter = (host, { spec }) => {
  const zone = spec.availabilityZone
  if (zone === undefined || host.availabilityZone === zone) return undefined
  return { reason: `in zone ${host.availabilityZone}, not in ${zone}`, group: `in another zone than ${zone}` }
}
