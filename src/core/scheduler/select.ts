import type { Refusal } from './filters.ts'
import type { View } from './fleet.ts'
import type { NamedWeigher, Rules } from './options.ts'
import type { HostState, Question } from './question.ts'
import type { Weigher } from './weighers.ts'

/** A host that was turned away, by which filter, and why. */
export type Refused = Refusal & { readonly host: string; readonly filter: string }

/** All hosts that were turned away for one reason. */
export type RefusedGroup = {
  readonly group: string
  /** The filter of the first of them. */
  readonly filter: string
  readonly count: number
  /** How far the host fell short that came nearest. */
  readonly nearest: Refusal['short']
  /** Some of them, in the order in which they were asked. */
  readonly sample: readonly Refused[]
}

/** A host that passed every filter, with each weigher's share and their sum. */
type Candidate = {
  readonly host: HostState
  readonly weight: number
  readonly weights: Readonly<Record<string, number>>
}

/** What was found out about all hosts. The hosts themselves are kept up to a number of each kind: there may be thousands. */
export type Selection = {
  readonly question: Question
  /** How many hosts passed every filter. */
  readonly passed: number
  /** The best of them, the best first. */
  readonly candidates: readonly Candidate[]
  /** How many hosts were turned away. */
  readonly turnedAway: number
  /** Each of those is in exactly one group. */
  readonly refused: readonly RefusedGroup[]
  /** The host that an administrator named, if there is no such host. */
  readonly unknownHost: string | undefined
}

/** How many candidates are kept, and how many refused hosts. */
export type Keep = { readonly candidates: number; readonly refused: number }

/** More candidates than a placement offers its instance to (ten rounds of twenty), and all that a record shows. */
const keepForPlacing: Keep = { candidates: 256, refused: 20 }

/**
 * Selects among the hosts with what this process is taking subtracted, so that placements side by side spread. That no
 * host can is only ever concluded from what the database said: a placement under way may still come to nothing.
 */
export function survey(
  question: Question,
  view: View,
  rules: Rules,
  random: () => number,
  keep: Keep = keepForPlacing,
): Selection {
  const current = select(question, view.current(), rules, random, keep)
  return current.passed > 0 ? current : select(question, view.read, rules, random, keep)
}

/** Shows every host to every filter until one says no, and orders the rest by weight; equals in random order. */
export function select(
  question: Question,
  hosts: readonly HostState[],
  rules: Rules,
  random: () => number,
  keep: Keep = keepForPlacing,
): Selection {
  const { forcedHost } = question.spec
  const groups = new Map<string, { -readonly [K in keyof RefusedGroup]: RefusedGroup[K] } & { sample: Refused[] }>()
  const passed: HostState[] = []
  for (const host of hosts) {
    const no = firstRefusal(host, question, rules)
    if (no === undefined) {
      passed.push(host)
      continue
    }
    const { filter, refusal } = no
    const group = groups.get(refusal.group)
    if (group === undefined) {
      const sample = [{ ...refusal, host: host.name, filter }]
      groups.set(refusal.group, { group: refusal.group, filter, count: 1, nearest: refusal.short, sample })
      continue
    }
    group.count++
    if (refusal.short !== undefined && refusal.short.has > (group.nearest?.has ?? -1)) group.nearest = refusal.short
    if (group.sample.length < keep.refused) group.sample.push({ ...refusal, host: host.name, filter })
  }
  const { totals, sharesOf } = weigh(passed, rules.weighers, question)
  const lots = new Float64Array(passed.length)
  for (let row = 0; row < lots.length; row++) lots[row] = random()
  const better = (a: number, b: number): boolean =>
    totals[a] === totals[b] ? lots[a]! < lots[b]! : totals[a]! > totals[b]!
  return {
    question,
    passed: passed.length,
    candidates: best(passed.length, keep.candidates, better).map((row) => ({
      host: passed[row]!,
      weight: totals[row]!,
      weights: sharesOf(row),
    })),
    turnedAway: hosts.length - passed.length,
    refused: [...groups.values()],
    unknownHost: hosts.some(({ name }) => name === forcedHost) ? undefined : forcedHost,
  }
}

function firstRefusal(
  host: HostState,
  question: Question,
  { filters }: Rules,
): { filter: string; refusal: Refusal } | undefined {
  for (const { name, filter } of filters) {
    const refusal = filter(host, question)
    if (refusal) return { filter: name, refusal }
  }
  return undefined
}

/** Weights of hosts by their places in a list. */
type Weights = {
  readonly totals: Float64Array
  /** What each weigher added, by its name. */
  sharesOf(row: number): Record<string, number>
}

/**
 * Weighs hosts against one another: each weigher's opinions are brought to 0…1 over the hosts given, times its
 * multiplier, and summed. If all opinions are equal they count 0, as in nova.weights.normalize.
 */
export function weigh(hosts: readonly HostState[], weighers: readonly NamedWeigher[], question: Question): Weights {
  const totals = new Float64Array(hosts.length)
  const columns = weighers.map(({ name, weigher, multiplier }) => {
    const shares = new Float64Array(hosts.length)
    for (let row = 0; row < shares.length; row++) shares[row] = weigher.weigh(hosts[row]!, question)
    normalise(shares, weigher.scale, multiplier)
    for (let row = 0; row < shares.length; row++) totals[row] = totals[row]! + shares[row]!
    return { name, shares }
  })
  for (let row = 0; row < totals.length; row++) totals[row] = rounded(totals[row]!)
  return {
    totals,
    sharesOf: (row) => Object.fromEntries(columns.map(({ name, shares }) => [name, rounded(shares[row]!)])),
  }
}

/** Brings numbers to 0…multiplier, in place. */
function normalise(raw: Float64Array, scale: Weigher['scale'], multiplier: number): void {
  let { min, max } = scale ?? { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }
  if (!scale)
    for (let row = 0; row < raw.length; row++) {
      if (raw[row]! < min) min = raw[row]!
      if (raw[row]! > max) max = raw[row]!
    }
  for (let row = 0; row < raw.length; row++) raw[row] = max > min ? ((raw[row]! - min) / (max - min)) * multiplier : 0
}

/** Four places are what a person reads, and what makes hosts equal that are equal but for rounding. */
const rounded = (n: number): number => Math.round(n * 10_000) / 10_000

/**
 * The best `most` of the numbers 0…count-1, the best first. It keeps those in a heap with the worst on top, so that nearly
 * all others cost one comparison.
 */
function best(count: number, most: number, better: (a: number, b: number) => boolean): number[] {
  const heap: number[] = []
  const sink = (from: number): void => {
    const moving = heap[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && better(heap[child]!, heap[child + 1]!)) child++
      if (!better(moving, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = moving
  }
  for (let row = 0; row < count; row++) {
    if (heap.length < most) {
      heap.push(row)
      if (heap.length === most) for (let at = (most >> 1) - 1; at >= 0; at--) sink(at)
    } else if (better(row, heap[0]!)) {
      heap[0] = row
      sink(0)
    }
  }
  return heap.sort((a, b) => (better(a, b) ? -1 : 1))
}
