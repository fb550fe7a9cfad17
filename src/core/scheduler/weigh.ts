import type { Question } from './filter.ts'
import type { HostState } from './host-state.ts'
import type { NamedWeigher } from './options.ts'

/** A host that passed every filter, with each weigher's share and their sum. */
export type Weighed = {
  readonly host: HostState
  readonly weight: number
  readonly weights: Readonly<Record<string, number>>
}

/**
 * Weighs hosts against one another: each weigher's opinions are brought to 0…1 over the hosts given, times its
 * multiplier, and summed. Where all opinions are equal they count 0, as in nova.weights.normalize.
 */
export function weigh(hosts: readonly HostState[], weighers: readonly NamedWeigher[], question: Question): Weighed[] {
  const columns = weighers.map(({ name, weigher, multiplier }) => ({
    name,
    shares: normalised(
      hosts.map((host) => weigher.weigh(host, question)),
      weigher.scale,
    ).map((share) => share * multiplier),
  }))
  return hosts.map((host, row) => {
    const weights: Record<string, number> = {}
    let weight = 0
    for (const { name, shares } of columns) {
      const share = shares[row] as number
      weights[name] = rounded(share)
      weight += share
    }
    return { host, weight: rounded(weight), weights }
  })
}

function normalised(raw: readonly number[], scale: { min: number; max: number } | undefined): number[] {
  // A loop: Math.min(...raw) overflows the stack with very many hosts.
  let { min, max } = scale ?? { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }
  if (!scale)
    for (const value of raw) {
      min = Math.min(min, value)
      max = Math.max(max, value)
    }
  return raw.map((value) => (max > min ? (value - min) / (max - min) : 0))
}

/** Four places are what a person reads, and what makes hosts equal that are equal but for rounding. */
const rounded = (n: number): number => Math.round(n * 10_000) / 10_000
