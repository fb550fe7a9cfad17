import type { Filter } from '../filter.ts'

/** Lets through the hosts with enough virtual CPUs left to promise. */
export const cores: Filter = (host, { spec }) => {
  const wants = spec.size.vcpus
  const left = host.limit.vcpus - host.used.vcpus
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} vCPU, ${has} left of ${host.limit.vcpus}`,
    group: 'with too few vCPUs',
    short: { has, wants, unit: 'vCPU' },
  }
}
