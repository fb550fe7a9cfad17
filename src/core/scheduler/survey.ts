import type { RequestSpec } from '../contracts/scheduler.ts'
import { hostsOfInstances } from '../store/placement.ts'
import type { SchedulerDeps } from './deps.ts'
import type { Question } from './filter.ts'
import type { View } from './fleet.ts'
import { hintedInstances } from './hints.ts'
import type { Rules } from './options.ts'
import { select } from './select.ts'
import type { Selection } from './selection.ts'

/** What every host is asked, now: the wish, and where the instances are that its hints name. */
export async function questionOf(
  { db, clock }: Pick<SchedulerDeps, 'db' | 'clock'>,
  spec: RequestSpec,
): Promise<Question> {
  const ids = hintedInstances(spec)
  const hostOf = ids.length > 0 ? await hostsOfInstances(db, ids) : new Map<string, string>()
  return { spec, now: clock.now(), hostOf }
}

/**
 * Selects among the hosts with what this process is taking subtracted, so that placements side by side spread. That no
 * host can is only ever concluded from what the database said: a placement under way may still come to nothing.
 */
export function survey(question: Question, view: View, rules: Rules, random: () => number): Selection {
  const current = select(question, view.current(), rules, random)
  return current.candidates.length > 0 ? current : select(question, view.read, rules, random)
}
