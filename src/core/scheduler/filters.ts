import { unresponsiveAfterMs } from '../model/health.ts'
import { firstOf, understands } from '../rpc/versions.ts'
import type { HostState, Question } from './question.ts'

/** Why a host was turned away. */
export type Refusal = {
  /** For this host, with numbers: "wants 2048 MiB of memory, 512 MiB left of 4096". */
  readonly reason: string
  /** What it has in common with others: "with too little memory"; the summary counts hosts by it. */
  readonly group: string
  /** How far it fell short; the summary shows the host that came nearest. */
  readonly short?: { readonly has: number; readonly wants: number; readonly unit: string }
}

/** Undefined lets the host through. */
export type Filter = (host: HostState, question: Question) => Refusal | undefined

/**
 * The filters that the option `scheduler.filters` may name, and what Nova calls them:
 *
 * | here                | in Nova                                                                          |
 * |---------------------|----------------------------------------------------------------------------------|
 * | `availability-zone` | AvailabilityZoneFilter; since 2023 a placement aggregate                         |
 * | `compute-up`        | ComputeFilter                                                                    |
 * | `knows-kind`        | the minimum service version checks of the conductor                              |
 * | `ram`               | RamFilter; since Train an allocation of MEMORY_MB in Placement                   |
 * | `cores`             | CoreFilter; since Train an allocation of VCPU                                    |
 * | `disk`              | DiskFilter; since Train an allocation of DISK_GB                                 |
 * | `same-host`         | SameHostFilter                                                                   |
 * | `different-host`    | DifferentHostFilter                                                              |
 * | `forced-host`       | `force_hosts`, or `requested_destination` of the RequestSpec                     |
 * | `excluded-host`     | RetryFilter; since Train `ignore_hosts` and the alternates of the RequestSpec    |
 */
export const filters = (options: { serviceDownTime: number; pingSeconds: number }) =>
  ({
    'availability-zone': availabilityZone,
    'compute-up': computeUp(options.serviceDownTime, options.pingSeconds),
    'knows-kind': knowsKind,
    ram,
    cores,
    disk,
    'same-host': sameHost,
    'different-host': differentHost,
    'forced-host': forcedHost,
    'excluded-host': excludedHost,
  }) as const satisfies Record<string, Filter>

/** Lets through the hosts of the zone that was asked for; all, if none was. */
const availabilityZone: Filter = (host, { spec }) => {
  const zone = spec.availabilityZone
  if (zone === undefined || host.availabilityZone === zone) return undefined
  return { reason: `in zone ${host.availabilityZone}, not in ${zone}`, group: `in another zone than ${zone}` }
}

/**
 * Lets through the hosts whose compute service is enabled, reported within the last `serviceDownTime` seconds, and had heard
 * itself on the bus shortly before: a host that reports and hears nothing would not take the message.
 */
const computeUp = (serviceDownTime: number, pingSeconds: number): Filter => {
  const limitMs = unresponsiveAfterMs(pingSeconds)
  return ({ service }, { now }) => {
    if (!service) return { reason: 'its compute service has never reported', group: 'down' }
    if (service.disabled)
      return {
        reason: service.disabledReason ? `disabled: ${service.disabledReason}` : 'disabled',
        group: 'disabled',
      }
    const silentMs = now - service.seenAt
    if (silentMs > serviceDownTime * 1000)
      return {
        reason: `down: not heard of for ${Math.floor(silentMs / 1000)} s (at most ${serviceDownTime} s)`,
        group: 'down',
      }
    if (service.silentMs === undefined || service.silentMs <= limitMs) return undefined
    return {
      reason: `degraded: has not heard itself on the bus for ${Math.floor(service.silentMs / 1000)} s (at most ${limitMs / 1000} s)`,
      group: 'degraded',
    }
  }
}

/** Lets through the hosts that know the kind of the operation: an older one could not carry it out. */
const knowsKind: Filter = ({ service }, { spec }) => {
  const speaks = service?.speaks ?? firstOf(spec.needs)
  if (understands(speaks, spec.needs)) return undefined
  return {
    reason: `its daemon speaks version ${speaks}, ${spec.needs} is needed: update it`,
    group: 'with a daemon that is too old',
  }
}

/** Lets through the hosts with enough memory left to promise. */
const ram: Filter = ({ limit, used }, { spec }) => {
  const wants = spec.size.memoryMb
  const left = limit.memoryMb - used.memoryMb
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} MiB of memory, ${has} MiB left of ${limit.memoryMb}`,
    group: 'with too little memory',
    short: { has, wants, unit: 'MiB' },
  }
}

/** Lets through the hosts with enough virtual CPUs left to promise. */
const cores: Filter = ({ limit, used }, { spec }) => {
  const wants = spec.size.vcpus
  const left = limit.vcpus - used.vcpus
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} vCPU, ${has} left of ${limit.vcpus}`,
    group: 'with too few vCPUs',
    short: { has, wants, unit: 'vCPU' },
  }
}

/** Lets through the hosts with enough disk left to promise. */
const disk: Filter = ({ limit, used }, { spec }) => {
  const wants = spec.size.diskGb
  const left = limit.diskGb - used.diskGb
  if (left >= wants) return undefined
  const has = Math.max(0, left)
  return {
    reason: `wants ${wants} GiB of disk, ${has} GiB left of ${limit.diskGb}`,
    group: 'with too little disk',
    short: { has, wants, unit: 'GiB' },
  }
}

/** Hint `same_host`: lets through the hosts that hold at least one of the instances named. */
const sameHost: Filter = (host, { sameHost, hostOf }) => {
  if (sameHost.length === 0 || sameHost.some((id) => hostOf.get(id) === host.name)) return undefined
  const where = sameHost.map((id) => `${id} is on ${hostOf.get(id) ?? 'no host'}`).join(', ')
  return { reason: `not the same host: ${where}`, group: 'without the instance of hint same_host' }
}

/** Hint `different_host`: lets through the hosts that hold none of the instances named. */
const differentHost: Filter = (host, { differentHost, hostOf }) => {
  if (differentHost.length === 0) return undefined
  const here = differentHost.filter((id) => hostOf.get(id) === host.name)
  if (here.length === 0) return undefined
  return {
    reason: `not a different host: ${here.join(', ')} ${here.length === 1 ? 'is' : 'are'} here`,
    group: 'with an instance of hint different_host',
  }
}

/** Lets through only the host that an administrator named; all, if none was named. */
const forcedHost: Filter = (host, { spec }) => {
  const forced = spec.forcedHost
  if (forced === undefined || host.name === forced) return undefined
  return { reason: `not ${forced}, the host asked for`, group: `other than ${forced}, the host asked for` }
}

/** Turns away the hosts on which the operation has failed already, and the one that the instance is on. */
const excludedHost: Filter = (host, { spec }) =>
  spec.excluded.includes(host.name)
    ? {
        reason: 'failed here in an earlier attempt, or is here',
        group: 'where it failed in an earlier attempt, or is now',
      }
    : undefined
