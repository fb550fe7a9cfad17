import type { Filter } from '../filter.ts'

/** Lets through the hosts with enough memory left to promise. */
export const ram: Filter = (host, { spec }) => {
  const wants = spec.size.memoryMb
  const left = host.limit.memoryMb - host.used.memoryMb
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} MiB of memory, ${has} MiB left of ${host.limit.memoryMb}`,
    group: 'with too little memory',
    short: { has, wants, unit: 'MiB' },
  }
}
