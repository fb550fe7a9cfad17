import { fail } from '../../base/errors.ts'
import type { computeAgent, HostReport } from '../../contracts/compute-agent.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Db } from '../../db/handle.ts'
import { hostOfBusUser } from '../../model/bus-user.ts'
import { isSame, leastOf } from '../../model/capacity.ts'
import type { Context } from '../../model/context.ts'
import type { Size } from '../../model/instance.ts'
import { change, type NewEvent } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { release, residueOfHost, residueOn } from '../../store/allocations.ts'
import { deletedAmong } from '../../store/history.ts'
import {
  addHost,
  endGrowth,
  type HostSelf,
  type KnownHost,
  lockHost,
  recordUnknownGuests,
  updateHost,
  updateHostReport,
} from '../../store/hosts.ts'
import { findInstances, instancesOn } from '../../store/instances.ts'
import { busySubjects } from '../../store/operations.ts'
import { serviceIncarnation } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/**
 * A compute host says what it has: a host that reports is a host that exists. Answers with the instances that belong there
 * and with the guests that are not its own any more.
 */
export async function join(
  deps: ConductorDeps,
  ctx: Context,
  { host: name, incarnation, hostId, availabilityZone, report, guests }: Args<typeof computeAgent, 'join'>,
): Promise<Result<typeof computeAgent, 'join'>> {
  const self: HostSelf = { name, hostId, incarnation, availabilityZone, report }
  await checkLife(deps.db, name, incarnation)
  const enter = () =>
    change(deps, async (db, emit) => {
      const now = deps.clock.now()
      const known = await lockHost(db, name)
      if (!known) return addHost(db, self, now)
      const told = { host: name, report, ctx, now }
      publishAcceleratorChange(emit, known.accelerator, told)
      const total = await believed(db, known, told)
      publishResize(emit, known.total, total, told)
      return updateHost(db, { ...self, report: { ...report, total } })
    })
  // The first word of a new host, said twice at the same moment: the second finds it known.
  await enter().catch((e) => (isUniqueViolation(e) ? enter() : Promise.reject(e)))
  const { remove, unknown } = await strangersOn(deps.db, name, guests)
  await recordUnknownGuests(deps.db, name, unknown)
  return { instances: await instancesOn(deps.db, name), remove }
}

/**
 * Of these guests, those that are not this host's any more (`remove`): the instance was deleted, or is elsewhere in a newer
 * generation. While an operation is open on an instance, that operation knows better. A guest that was never heard of
 * (`unknown`) is nobody's to remove: this database may be the one that is wrong.
 */
async function strangersOn(
  db: Db,
  host: string,
  guests: ReadonlyArray<{ id: string; generation: number }>,
): Promise<{ remove: string[]; unknown: string[] }> {
  const here = new Set((await instancesOn(db, host)).map(({ id }) => id))
  const ids = guests.map(({ id }) => id).filter((id) => !here.has(id))
  const residue = await residueOfHost(db, host)
  const strangers = [...new Set([...ids, ...residue])]
  const busy = await busySubjects(db, strangers)
  const deleted = await deletedAmong(db, strangers)
  const elsewhere = new Map((await findInstances(db, strangers)).map((instance) => [instance.id, instance]))
  const generations = new Map(guests.map(({ id, generation }) => [id, generation]))
  const remove = strangers.filter((id) => {
    if (busy.has(id)) return false
    if (deleted.has(id) || residue.includes(id)) return true
    const instance = elsewhere.get(id)
    return instance !== undefined && instance.host !== host && (generations.get(id) ?? 0) <= instance.generation
  })
  const known = new Set([...busy, ...residue, ...deleted, ...elsewhere.keys()])
  return { remove, unknown: ids.filter((id) => !known.has(id)) }
}

/** Fresh numbers of a host; what is used of it is not its to say. */
export async function report(
  deps: ConductorDeps,
  ctx: Context,
  { host, incarnation, report, acceleratorWhy: why }: Args<typeof computeAgent, 'report'>,
): Promise<Result<typeof computeAgent, 'report'>> {
  await checkLife(deps.db, host, incarnation)
  await change(deps, async (db, emit) => {
    const now = deps.clock.now()
    const known = await lockHost(db, host)
    if (!known) return
    const told = { host, report, ctx, now, why }
    publishAcceleratorChange(emit, known.accelerator, told)
    await updateHostReport(db, host, { ...report, total: await believed(db, known, told) })
  })
  return {}
}

type Reported = { host: string; report: HostReport; ctx: Context; now: number; why?: string | undefined }

/**
 * What the cloud counts on. A host with a login of its own does not grow by its own word: whoever has stolen the login
 * would draw other projects' instances to it. An administrator accepts what has been added to a host.
 */
async function believed(db: Db, { total, mayGrow }: KnownHost, { host, report, ctx }: Reported): Promise<Size> {
  const least = leastOf(total, report.total)
  if (ctx.busUser === undefined || hostOfBusUser(ctx.busUser) === undefined || isSame(least, report.total))
    return report.total
  if (!mayGrow) return least
  await endGrowth(db, host)
  return report.total
}

/** A host has other room than before, or says so: somebody should know. */
function publishResize(
  emit: (event: NewEvent) => void,
  before: Size,
  after: Size,
  { host, report: { total: told }, ctx, now }: Reported,
): void {
  if (isSame(before, told)) return
  const refused = isSame(after, told)
    ? ''
    : `; it says ${sizeText(told)}, which counts after: nova host set ${host} --accept-capacity`
  emit({
    at: now,
    type: 'host.resized',
    host,
    requestId: ctx.requestId,
    projectId: ctx.projectId,
    message: `${isSame(before, after) ? '' : `${sizeText(before)} → `}${sizeText(after)}${refused}`,
  })
}

const sizeText = ({ vcpus, memoryMb, diskGb }: Size): string => `${vcpus} vCPUs, ${memoryMb} MiB, ${diskGb} GiB`

/** Guests of a host run on another accelerator: from KVM to TCG they are ten times slower, and somebody should know. */
function publishAcceleratorChange(
  emit: (event: NewEvent) => void,
  before: string,
  { host, report: { accelerator }, ctx, now, why }: Reported,
): void {
  if (before === accelerator) return
  emit({
    at: now,
    type: 'host.accelerator_changed',
    host,
    requestId: ctx.requestId,
    projectId: ctx.projectId,
    message: `${before} → ${accelerator}${why === undefined ? '' : `: ${why}`}`,
  })
}

/** Guests that were not the host's any more are gone: their room is free. */
export async function removed(
  deps: ConductorDeps,
  _ctx: Context,
  { host, incarnation, instances }: Args<typeof computeAgent, 'removed'>,
): Promise<Result<typeof computeAgent, 'removed'>> {
  await checkLife(deps.db, host, incarnation)
  await change(deps, async (db) => release(db, await residueOn(db, host, instances)))
  return {}
}

/** `HostNotFound` if this life of the daemon is not the one that counts: it must say hello first. */
async function checkLife(db: Db, host: string, incarnation: string): Promise<void> {
  if ((await serviceIncarnation(db, 'compute', host)) !== incarnation) fail('HostNotFound', { id: host })
}
