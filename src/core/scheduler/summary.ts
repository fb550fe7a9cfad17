import type { RequestSpec } from '../contracts/scheduler.ts'
import type { Refused, Selection } from './selection.ts'

/**
 * Why no host can take it, in one line: "12 hosts: 7 disabled, 4 with too little memory (most: 1024 of 2048 MiB free), 1
 * in another zone than east". Every host is counted in exactly one group.
 */
export function noneSummary(spec: RequestSpec, refused: readonly Refused[]): string {
  if (refused.length === 0) return 'no compute host has ever reported: start one with nova daemon compute'
  const groups = new Map<string, Refused[]>()
  for (const no of refused) {
    const members = groups.get(no.group)
    if (members) members.push(no)
    else groups.set(no.group, [no])
  }
  const parts = [...groups]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([group, members]) => `${members.length} ${group}${nearest(members)}`)
  const count = refused.length === 1 ? '1 host' : `${refused.length} hosts`
  return `${count}: ${parts.join(', ')}${unknownHost(spec, refused)}`
}

/** Why the chosen one won: "h4: the heaviest (1.83) of 5 that can, of 12 hosts". */
export function chosenSummary(chosen: string, { candidates, refused }: Selection): string {
  const hosts = candidates.length + refused.length
  if (hosts === 1) return `${chosen}: the only host`
  if (candidates.length === 1) return `${chosen}: the only one of ${hosts} hosts that can`
  const weight = candidates.find(({ host }) => host.name === chosen)?.weight
  const place = candidates[0]?.host.name === chosen ? 'the heaviest' : 'taken'
  return `${chosen}: ${place}${weight === undefined ? '' : ` (weight ${weight})`} of ${candidates.length} that can, of ${hosts} hosts`
}

/** How near the nearest came: "(most: 1024 of 2048 MiB free)". */
function nearest(members: readonly Refused[]): string {
  let most: Refused['short']
  for (const { short } of members) if (short && (!most || short.has > most.has)) most = short
  return most ? ` (most: ${most.has} of ${most.wants} ${most.unit} free)` : ''
}

/** An administrator may have mistyped the host: then no filter's verdict says it. */
function unknownHost({ forcedHost }: RequestSpec, refused: readonly Refused[]): string {
  if (forcedHost === undefined || refused.some(({ host }) => host === forcedHost)) return ''
  return `; there is no host ${forcedHost}`
}
