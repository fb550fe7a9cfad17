import { assert } from '../base/errors.ts'
import type { Decision, HostVerdict } from '../contracts/shapes.ts'
import type { Refusal } from './filters.ts'
import type { Rules } from './options.ts'
import type { Keep, Refused, RefusedGroup, Selection } from './select.ts'

/** For the record that is kept of every placement: a few kilobytes, however many hosts there are. */
const onRecord: Keep = { candidates: 20, refused: 20 }
/** For an answer to somebody who asks about all hosts. */
export const inFull: Keep = { candidates: 500, refused: 500 }

/**
 * The selection as it is kept and shown. `chosen` is one of the candidates, or undefined if there is none;
 * `late` are candidates that were tried and did not do.
 */
export function decisionOf(
  selection: Selection,
  rules: Rules,
  chosen: string | undefined,
  late: readonly Refused[] = [],
  shown: Keep = onRecord,
): Decision {
  const lost = new Map(late.map((no) => [no.host, no]))
  const failed = selection.candidates.flatMap(({ host }) => lost.get(host.name) ?? [])
  assert(
    chosen !== undefined || failed.length === selection.passed,
    'a host that can take the instance was neither chosen nor tried',
  )
  const groups = [...groupsOf(failed), ...selection.refused]
  // Those that were tried stand before the one that was taken, so that it may be beyond the first ones.
  const kept = selection.candidates.filter(({ host }, place) => place < shown.candidates || host.name === chosen)
  const candidates = kept.map(({ host, weight, weights }): HostVerdict => {
    const no = lost.get(host.name)
    if (!no) return { host: host.name, passed: true, weight, weights: { ...weights } }
    return { ...refusalOf(no), weight, weights: { ...weights } }
  })
  return {
    at: selection.question.now,
    ...(chosen === undefined ? {} : { chosen }),
    summary: chosen === undefined ? noneSummary(groups, selection) : chosenSummary(chosen, selection),
    filters: rules.filters.map(({ name }) => name),
    weighers: rules.weighers.map(({ name }) => name),
    hosts: [...candidates, ...sampleOf(selection.refused, shown.refused).map(refusalOf)],
    counts: {
      hosts: selection.passed + selection.turnedAway,
      passed: selection.passed - failed.length,
      refused: groups.map(({ filter, group, count }) => ({ filter, group, hosts: count })),
    },
  }
}

const refusalOf = ({ host, filter, reason }: Refused): HostVerdict => ({ host, passed: false, filter, reason })

/** Those that were tried and did not do, by the reason. */
function groupsOf(failed: readonly Refused[]): RefusedGroup[] {
  const groups = new Map<string, Refused[]>()
  for (const no of failed) groups.set(no.group, [...(groups.get(no.group) ?? []), no])
  return [...groups].map(([group, sample]) => ({
    group,
    filter: sample[0]!.filter,
    count: sample.length,
    nearest: undefined,
    sample,
  }))
}

/** At most so many of those that were turned away, and one of each group before a second one of any. */
function sampleOf(groups: readonly RefusedGroup[], most: number): Refused[] {
  const firsts = groups.flatMap(({ sample }) => sample.slice(0, 1))
  const others = groups.flatMap(({ sample }) => sample.slice(1))
  return [...firsts, ...others].slice(0, most)
}

/**
 * Why no host can take it, in one line: "12 hosts: 7 disabled, 4 with too little memory (most: 1024 of 2048 MiB free), 1
 * in another zone than east". Every host is counted in exactly one group.
 */
function noneSummary(groups: readonly RefusedGroup[], { passed, turnedAway, unknownHost }: Selection): string {
  const hosts = passed + turnedAway
  if (hosts === 0) return 'no compute host has ever reported: start one with nova daemon compute'
  const parts = [...groups]
    .sort((a, b) => b.count - a.count)
    .map(({ group, count, nearest }) => `${count} ${group}${nearestText(nearest)}`)
  // An administrator may have mistyped the host: then no filter's verdict says it.
  const unknown = unknownHost === undefined ? '' : `; there is no host ${unknownHost}`
  return `${hosts === 1 ? '1 host' : `${hosts} hosts`}: ${parts.join(', ')}${unknown}`
}

/** How near the nearest came: "(most: 1024 of 2048 MiB free)". */
const nearestText = (short: Refusal['short']): string =>
  short === undefined ? '' : ` (most: ${short.has} of ${short.wants} ${short.unit} free)`

/** Why the chosen one won: "h4: the heaviest (1.83) of 5 that can, of 12 hosts". */
function chosenSummary(chosen: string, { candidates, passed, turnedAway }: Selection): string {
  const hosts = passed + turnedAway
  if (hosts === 1) return `${chosen}: the only host`
  if (passed === 1) return `${chosen}: the only one of ${hosts} hosts that can`
  const weight = candidates.find(({ host }) => host.name === chosen)?.weight
  const place = candidates[0]?.host.name === chosen ? 'the heaviest' : 'taken'
  return `${chosen}: ${place}${weight === undefined ? '' : ` (weight ${weight})`} of ${passed} that can, of ${hosts} hosts`
}
