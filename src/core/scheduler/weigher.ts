import type { Question } from './filter.ts'
import type { HostState } from './host-state.ts'

/** One opinion on which of the hosts that can is the best; the greater the better, in units of its own. */
export type Weigher = {
  readonly weigh: (host: HostState, question: Question) => number
  /** Fixed ends of the scale; without them the least and the greatest among the candidates are the ends. */
  readonly scale?: { readonly min: number; readonly max: number }
}
