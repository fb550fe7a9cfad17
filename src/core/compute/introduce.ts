import type { KeyedMutex } from '../base/concurrency.ts'
import { reason } from '../base/errors.ts'
import { type HostReport, lastWordsMax } from '../contracts/compute-agent.ts'
import { type Context, serviceContext } from '../model/context.ts'
import type { GuestSeen, Resources } from '../virt/driver.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import type { Images } from './images.ts'
import type { PowerReports } from './power.ts'

/** What this host has to give, as the conductor is told. */
function reportOf(
  { driver }: Pick<ComputeDeps, 'driver'>,
  { vcpus, memoryMb, diskGb, hypervisor, hypervisorVersion, accelerator, cgroups }: Resources,
): HostReport {
  const bounds = cgroups && { controllers: [...cgroups.controllers], why: cgroups.why.slice(0, lastWordsMax) }
  const total = { vcpus, memoryMb, diskGb }
  return { driver: driver.name, hypervisor, hypervisorVersion, accelerator, total, ...(bounds && { cgroups: bounds }) }
}

/** Tells the conductor what this host has: when it is due, and at once if the accelerator is another one. */
export function hostReports(deps: ComputeDeps): (due: boolean) => Promise<void> {
  const { computeAgent, driver, ids } = deps
  let known: string | undefined
  return async (due) => {
    const resources = await driver.resources()
    if (!due && (known === undefined || resources.accelerator === known)) {
      known ??= resources.accelerator
      return
    }
    const why = resources.acceleratorWhy?.slice(0, lastWordsMax)
    await computeAgent.report(serviceContext('compute', ids.requestId()), {
      ...selfOf(deps),
      report: reportOf(deps, resources),
      ...(why === undefined ? {} : { acceleratorWhy: why }),
    })
    known = resources.accelerator
  }
}

type Parts = { images: Images; power: PowerReports; mutex: KeyedMutex }

/**
 * Tells the conductor what this host has and which guests are on it; removes those that are not its own any more, and tells
 * what the conductor has wrong about the power of the others.
 */
export function introductions(deps: ComputeDeps, parts: Parts): (ctx: Context) => Promise<void> {
  const { availabilityZone, computeAgent, driver, hostId, log } = deps
  let unknownBefore = ''
  return async (ctx) => {
    const guests = await driver.list()
    const { instances, remove } = await computeAgent.join(ctx, {
      ...selfOf(deps),
      hostId,
      availabilityZone,
      report: reportOf(deps, await driver.resources()),
      guests: guests.map(({ id, generation }) => ({ id, generation })),
    })
    await removeGuests(deps, parts, ctx, { guests, remove })
    const known = new Set([...instances.map(({ id }) => id), ...remove])
    const unknown = guests.filter(({ id }) => !known.has(id)).map(({ id }) => id)
    // Never destroyed for that: who does not know them may be the one who is wrong.
    if (unknown.length > 0 && unknown.join() !== unknownBefore)
      log.warn({ guests: unknown }, 'guests here that the conductor does not know; left alone')
    unknownBefore = unknown.join()
    await parts.power.differences(instances)
  }
}

/** Ends and removes guests that run elsewhere now, or were deleted: never two running copies (invariant I4). */
async function removeGuests(
  deps: ComputeDeps,
  { images, mutex }: Parts,
  ctx: Context,
  { guests, remove }: { guests: readonly GuestSeen[]; remove: readonly string[] },
): Promise<void> {
  const { computeAgent, driver, log } = deps
  const generations = new Map(guests.map(({ id, generation }) => [id, generation]))
  const removed: string[] = []
  for (const id of remove) {
    // An operation that has begun since knows better. If it leaves anything, the next comparison finds that.
    const release = mutex.tryAcquire(id)
    if (!release) continue
    try {
      const now = (await driver.list()).find((guest) => guest.id === id)
      if (now && now.generation !== generations.get(id)) continue
      await driver.destroy(id)
      await images.release(id)
      removed.push(id)
      log.warn({ instance: id }, 'its guest here was not this host’s any more: removed')
    } catch (e) {
      log.error({ instance: id, why: reason(e) }, 'a guest that is not this host’s any more could not be removed')
    } finally {
      release()
    }
  }
  if (removed.length > 0) await computeAgent.removed(ctx, { ...selfOf(deps), instances: removed })
}
