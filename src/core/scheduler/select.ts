import { assert } from '../base/errors.ts'
import type { Decision, HostVerdict } from '../contracts/shapes.ts'
import type { Question } from './filter.ts'
import type { HostState } from './host-state.ts'
import type { Rules } from './options.ts'
import type { Refused, Selection } from './selection.ts'
import { chosenSummary, noneSummary } from './summary.ts'
import { weigh } from './weigh.ts'

/** Shows every host to every filter until one says no, and orders the rest by weight; equals in random order. */
export function select(question: Question, hosts: readonly HostState[], rules: Rules, random: () => number): Selection {
  const refused: Refused[] = []
  const passed: HostState[] = []
  for (const host of hosts) {
    const no = firstRefusal(host, question, rules)
    if (no) refused.push(no)
    else passed.push(host)
  }
  const lots = weigh(passed, rules.weighers, question).map((weighed) => ({ weighed, lot: random() }))
  lots.sort((a, b) => b.weighed.weight - a.weighed.weight || a.lot - b.lot)
  return { question, candidates: lots.map(({ weighed }) => weighed), refused }
}

function firstRefusal(host: HostState, question: Question, rules: Rules): Refused | undefined {
  for (const { name, filter } of rules.filters) {
    const no = filter(host, question)
    if (no) return { ...no, host: host.name, filter: name }
  }
  return undefined
}

/**
 * The selection as it is kept and shown. `chosen` is one of the candidates, or undefined where there is none;
 * `late` are candidates that were tried and did not do.
 */
export function decisionOf(
  selection: Selection,
  rules: Rules,
  chosen: string | undefined,
  late: readonly Refused[] = [],
): Decision {
  const lost = new Map(late.map((no) => [no.host, no]))
  const failed = selection.candidates.flatMap(({ host }) => lost.get(host.name) ?? [])
  assert(
    chosen !== undefined || failed.length === selection.candidates.length,
    'a host that can take the instance was neither chosen nor tried',
  )
  const verdicts: HostVerdict[] = selection.candidates.map(({ host, weight, weights }) => {
    const no = lost.get(host.name)
    const weighed = { weight, weights: { ...weights } }
    if (!no) return { host: host.name, passed: true, ...weighed }
    return { host: host.name, passed: false, filter: no.filter, reason: no.reason, ...weighed }
  })
  for (const no of selection.refused)
    verdicts.push({ host: no.host, passed: false, filter: no.filter, reason: no.reason })
  return {
    at: selection.question.now,
    ...(chosen === undefined ? {} : { chosen }),
    summary:
      chosen === undefined
        ? noneSummary(selection.question.spec, [...failed, ...selection.refused])
        : chosenSummary(chosen, selection),
    filters: rules.filters.map(({ name }) => name),
    weighers: rules.weighers.map(({ name }) => name),
    hosts: verdicts,
  }
}
