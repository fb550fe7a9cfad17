import type { Question, Refusal } from './filter.ts'
import type { Weighed } from './weigh.ts'

/** A host that was turned away, by which filter, and why. */
export type Refused = Refusal & { readonly host: string; readonly filter: string }

/** What was found out about every host: those that can, the best first, and those that cannot, each with its reason. */
export type Selection = {
  readonly question: Question
  readonly candidates: readonly Weighed[]
  readonly refused: readonly Refused[]
}
