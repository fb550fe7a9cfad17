import type { RequestSpec } from '../contracts/scheduler.ts'
import type { Decision } from '../contracts/shapes.ts'
import type { PlaceDeps } from './place.ts'
import { decisionOf } from './select.ts'
import { questionOf, survey } from './survey.ts'

/** The decision that would be taken now for a wish. Nothing is written, no room is taken. */
export async function decide(deps: PlaceDeps, spec: RequestSpec): Promise<Decision> {
  const question = await questionOf(deps, spec)
  const selection = survey(question, await deps.fleet.look(), deps.rules, () => deps.ids.random())
  return decisionOf(selection, deps.rules, selection.candidates[0]?.host.name)
}
