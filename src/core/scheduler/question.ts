import type { Clock } from '../base/clock.ts'
import type { RequestSpec } from '../contracts/scheduler.ts'
import type { Db } from '../db/handle.ts'
import type { Size } from '../model/instance.ts'
import { hostsOfInstances } from '../store/placement.ts'

/** A compute host as placement sees it at one moment. */
export type HostState = {
  readonly name: string
  readonly availabilityZone: string
  /** What may be promised in all. */
  readonly limit: Size
  readonly used: Size
  readonly instances: number
  /** When a boot last failed here, in milliseconds since the epoch. */
  readonly failedAt: number | undefined
  /** Its compute service; undefined if none has reported. */
  readonly service: HostService | undefined
}

type HostService = {
  readonly disabled: boolean
  readonly disabledReason: string | undefined
  /** Milliseconds since the epoch. */
  readonly seenAt: number
  /** How long it had not heard itself then; undefined if it does not say. */
  readonly silentMs?: number | undefined
  /** The version of the contract `compute` that it speaks; undefined if it has not said. */
  readonly speaks?: string | undefined
}

/** What is asked of every host alike. */
export type Question = {
  readonly spec: RequestSpec
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The instance ids of the hints `same_host` and `different_host`. */
  readonly sameHost: readonly string[]
  readonly differentHost: readonly string[]
  /** The hosts of these instances: instance id to host name; instances on no host are absent. */
  readonly hostOf: ReadonlyMap<string, string>
}

/** The question for a request, asked now: looks up where the instances are that its hints name. */
export async function questionOf({ db, clock }: { db: Db; clock: Clock }, spec: RequestSpec): Promise<Question> {
  const sameHost = instancesOf(spec.hints.same_host)
  const differentHost = instancesOf(spec.hints.different_host)
  const ids = [...new Set([...sameHost, ...differentHost])]
  const hostOf = ids.length > 0 ? await hostsOfInstances(db, ids) : new Map<string, string>()
  return { spec, now: clock.now(), sameHost, differentHost, hostOf }
}

/** The instance ids in a hint, which separates them by commas. */
export const instancesOf = (hint = ''): string[] =>
  hint
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')
