import type { Contract } from './contract.ts'

/** What the other side speaks, where that is known. */
export type Cap = () => string | undefined

/** Same major version, and a minor version that is not newer than ours: as oslo.messaging compares them. */
export function understands(own: string, asked: string): boolean {
  const ours = parts(own)
  const theirs = parts(asked)
  return ours !== undefined && theirs !== undefined && ours[0] === theirs[0] && theirs[1] <= ours[1]
}

/** Whether `one` came after `other`; what is no version came after nothing. */
export function isNewer(one: string, other: string): boolean {
  const [a, b] = [parts(one), parts(other)]
  return a !== undefined && b !== undefined && (a[0] === b[0] ? a[1] > b[1] : a[0] > b[0])
}

/** The first version that is understood by those who speak `version`: the `.0` of its major. */
export function firstOf(version: string): string {
  const major = parts(version)?.[0]
  return major === undefined ? version : `${major}.0`
}

/** What all of these understand. */
export const lowestOf = (versions: readonly string[]): string | undefined =>
  versions.reduce<string | undefined>((low, next) => (low === undefined || isNewer(low, next) ? next : low), undefined)

function parts(version: string): [number, number] | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})$/.exec(version)
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

/**
 * What the other side of each topic said last that it speaks. Who says nothing, or was not heard yet, is taken to speak the
 * first version of the major: whatever it is, it understands that.
 */
export class SpokenBy {
  #versions: Readonly<Record<string, string>> = {}

  learn(versions: Readonly<Record<string, string>> | undefined): void {
    this.#versions = versions ?? {}
  }

  cap({ topic, version }: Pick<Contract, 'topic' | 'version'>): Cap {
    const first = firstOf(version)
    return () => this.#versions[topic] ?? first
  }
}
