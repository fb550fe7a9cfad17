import { fail } from '../../base/errors.ts'
import type { Db } from '../../db/open.ts'
import type { Size } from '../../model/instance.ts'
import { type Amounts, lockProject, ownQuota, quotaResources, usage } from '../../store/projects.ts'
import type { ConductorOptions } from '../deps.ts'

/** What is wanted, and what a project may have that has no limits of its own. */
type Wanted = { count: number; size: Size; quota: ConductorOptions['quota'] }

/**
 * Whether a project may have so many more of this size: counted under a lock that the transaction holds to its end, so
 * that two requests never count the same room. `QuotaExceeded`.
 */
export async function checkQuota(
  db: Db,
  projectId: string,
  { now, ...wanted }: Wanted & { now: number },
): Promise<void> {
  const limits = await limitsOf(db, projectId, wanted.quota)
  if (limits.length === 0) return
  await lockProject(db, projectId, now)
  await compare(db, projectId, limits, wanted)
}

/** The same for what is only tried: nothing is locked or written, so another request may take the room. `QuotaExceeded`. */
export async function previewQuota(db: Db, projectId: string, wanted: Wanted): Promise<void> {
  await compare(db, projectId, await limitsOf(db, projectId, wanted.quota), wanted)
}

type Limits = ReadonlyArray<{ resource: keyof Amounts; limit: number }>

async function limitsOf(db: Db, projectId: string, quota: Wanted['quota']): Promise<Limits> {
  const limits: Amounts = {
    instances: quota.instances,
    cores: quota.cores,
    ram: quota.memoryMb,
    ...(await ownQuota(db, projectId)),
  }
  return quotaResources.map((resource) => ({ resource, limit: limits[resource] })).filter(({ limit }) => limit >= 0)
}

async function compare(db: Db, project: string, limits: Limits, { count, size }: Wanted): Promise<void> {
  if (limits.length === 0) return
  const used = await usage(db, project)
  const wanted: Amounts = { instances: count, cores: count * size.vcpus, ram: count * size.memoryMb }
  for (const { resource, limit } of limits)
    if (used[resource] + wanted[resource] > limit)
      fail('QuotaExceeded', { resource, limit, used: used[resource], wanted: wanted[resource], project })
}
