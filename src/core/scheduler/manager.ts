import type { RequestSpec, scheduler } from '../contracts/scheduler.ts'
import type { Decision } from '../contracts/shapes.ts'
import { limits } from '../model/capacity.ts'
import type { Api } from '../rpc/contract.ts'
import { hostsForPlacement } from '../store/placement.ts'
import { decisionOf, inFull } from './decision.ts'
import type { SchedulerDeps } from './deps.ts'
import { Fleet } from './fleet.ts'
import { rulesOf } from './options.ts'
import { type PlaceDeps, place } from './place.ts'
import { questionOf } from './question.ts'
import { survey } from './select.ts'

/** What a scheduler answers to. `ConfigInvalid` if its options name a filter or weigher that does not exist. */
export function schedulerManager(deps: SchedulerDeps): Api<typeof scheduler> {
  const rules = rulesOf(deps.options)
  const fleet = new Fleet(async () => {
    const rooms = await hostsForPlacement(deps.db)
    return rooms.map((room) => ({ ...room, limit: limits(room.total, rules.overcommit) }))
  })
  const placing: PlaceDeps = { ...deps, rules, fleet }
  return {
    place: (ctx, args) => place(placing, ctx, args),
    decide: (_ctx, spec) => decide(placing, spec),
    ping: async () => ({ version: deps.version }),
  }
}

/** The decision that would be taken now for a request. Nothing is written, no room is taken. */
async function decide(deps: PlaceDeps, spec: RequestSpec): Promise<Decision> {
  const question = await questionOf(deps, spec)
  const selection = survey(question, await deps.fleet.look(), deps.rules, () => deps.ids.random(), inFull)
  return decisionOf(selection, deps.rules, selection.candidates[0]?.host.name, [], inFull)
}
