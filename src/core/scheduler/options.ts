import { fail } from '../base/errors.ts'
import type { Overcommit } from '../model/capacity.ts'
import { type Filter, filters } from './filters.ts'
import { type Weigher, weighers } from './weighers.ts'

/** How this scheduler decides, as the configuration has it. */
export type SchedulerOptions = Overcommit & {
  /** Names of filters; each host is shown to them in this order. */
  readonly filters: readonly string[]
  /** Names of weighers, and how much the opinion of each counts. */
  readonly weighers: Readonly<Record<string, number>>
  /** A compute service that was silent for longer counts as down. */
  readonly serviceDownTime: number
  readonly heartbeatSeconds: number
  /** How often a daemon calls itself through the bus. */
  readonly pingSeconds: number
}

type NamedFilter = { readonly name: string; readonly filter: Filter }
export type NamedWeigher = { readonly name: string; readonly weigher: Weigher; readonly multiplier: number }

/** The options with their names resolved. */
export type Rules = {
  readonly filters: readonly NamedFilter[]
  readonly weighers: readonly NamedWeigher[]
  readonly overcommit: Overcommit
}

/** What the claim counts in any case, and what a host cannot do: a host that passed without them would fail for ever. */
const alwaysAsked = ['knows-kind', 'ram', 'cores', 'disk']

/**
 * Resolves the names in the options; a name that is in no table is `ConfigInvalid`. Some filters are asked
 * even if the option leaves them out, last.
 */
export function rulesOf(options: SchedulerOptions): Rules {
  const table = filters(options)
  return {
    filters: [...new Set([...options.filters, ...alwaysAsked])].map((name) => ({
      name,
      filter: pick(table, name, 'scheduler.filters'),
    })),
    weighers: Object.entries(options.weighers).map(([name, multiplier]) => ({
      name,
      multiplier,
      weigher: pick(weighers, name, 'scheduler.weighers'),
    })),
    overcommit: options,
  }
}

function pick<T>(table: Readonly<Record<string, T>>, name: string, key: string): T {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found === undefined)
    fail('ConfigInvalid', {
      key,
      value: name,
      allowed: `must be one of ${Object.keys(table).join(', ')}`,
      source: 'configuration',
    })
  return found
}
