import type { Filter } from '../filter.ts'

/** Lets through the hosts with enough disk left to promise. */
export const disk: Filter = (host, { spec }) => {
  const wants = spec.size.diskGb
  const left = host.limit.diskGb - host.used.diskGb
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} GiB of disk, ${has} GiB left of ${host.limit.diskGb}`,
    group: 'with too little disk',
    short: { has, wants, unit: 'GiB' },
  }
}
