import type { Weigher } from '../weigher.ts'

/** For how long a failed boot counts against its host. */
const forgetMs = 10 * 60_000

/**
 * Shuns a host on which a boot has failed: 0 just after, rising to 1 (forgotten) over ten minutes. The scale is fixed:
 * measured against its neighbours alone, a failure of nine minutes ago would weigh as much as a fresh one.
 */
export const failedRecently: Weigher = {
  weigh: (host, { now }) => {
    if (host.failedAt === undefined) return 1
    return Math.min(1, Math.max(0, now - host.failedAt) / forgetMs)
  },
  scale: { min: 0, max: 1 },
}
