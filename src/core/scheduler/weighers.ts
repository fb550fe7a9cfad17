import type { HostState, Question } from './question.ts'

/** One opinion on which of the hosts that can is the best; the greater the better, in units of its own. */
export type Weigher = {
  readonly weigh: (host: HostState, question: Question) => number
  /** Fixed ends of the scale; without them the least and the greatest among the candidates are the ends. */
  readonly scale?: { readonly min: number; readonly max: number }
}

/** Prefers the host with the most memory left to promise, in MiB. */
const freeRam: Weigher = { weigh: ({ limit, used }) => limit.memoryMb - used.memoryMb }

/** Prefers the host with the fewest instances. */
const spread: Weigher = { weigh: (host) => -host.instances }

/** For how long a failed boot counts against its host. */
const forgetMs = 10 * 60_000

/**
 * Shuns a host on which a boot has failed: 0 just after, rising to 1 (forgotten) over ten minutes. The scale is fixed:
 * measured against its neighbours alone, a failure of nine minutes ago would weigh as much as a fresh one.
 */
const failedRecently: Weigher = {
  weigh: ({ failedAt }, { now }) => (failedAt === undefined ? 1 : Math.min(1, Math.max(0, now - failedAt) / forgetMs)),
  scale: { min: 0, max: 1 },
}

/**
 * The weighers that the option `scheduler.weighers` may name. In Nova they are RAMWeigher, NumInstancesWeigher (with a
 * negative multiplier, as here) and BuildFailureWeigher.
 */
export const weighers = {
  'free-ram': freeRam,
  spread,
  'failed-recently': failedRecently,
} as const satisfies Record<string, Weigher>
