import type { Contract } from './contract.ts'

/** The versions that the other side speaks, if known. */
export type Cap = () => string | undefined

/** Same major version, and a minor version that is not newer than ours: as oslo.messaging compares them. */
export function understands(own: string, asked: string): boolean {
  const ours = parts(own)
  const theirs = parts(asked)
  return ours !== undefined && theirs !== undefined && ours[0] === theirs[0] && theirs[1] <= ours[1]
}

/** Whether `one` is newer than `other`; a text that is not a version is older than all. */
export function isNewer(one: string, other: string): boolean {
  const [a, b] = [parts(one), parts(other)]
  return a !== undefined && b !== undefined && (a[0] === b[0] ? a[1] > b[1] : a[0] > b[0])
}

/** The first version of the same major, which every peer that speaks `version` understands: its `.0`. */
export function firstOf(version: string): string {
  const major = parts(version)?.[0]
  return major === undefined ? version : `${major}.0`
}

/** The highest version that all of these understand. */
export const lowestOf = (versions: readonly string[]): string | undefined =>
  versions.reduce<string | undefined>((low, next) => (low === undefined || isNewer(low, next) ? next : low), undefined)

function parts(version: string): [number, number] | undefined {
  const match = /^(\d{1,6})\.(\d{1,6})$/.exec(version)
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

/**
 * The versions that the other side of each topic reported last. A peer that reports nothing, or was not heard yet, is
 * assumed to speak the first version of the major, which every peer understands.
 */
export class SpokenBy {
  #versions: Readonly<Record<string, string>> = {}

  record(versions: Readonly<Record<string, string>> | undefined): void {
    this.#versions = versions ?? {}
  }

  cap({ topic, version }: Pick<Contract, 'topic' | 'version'>): Cap {
    const first = firstOf(version)
    return () => this.#versions[topic] ?? first
  }
}
