import { fail } from '../../base/errors.ts'
import type { Db } from '../../db/open.ts'
import type { Size } from '../../model/instance.ts'
import { type Amounts, amountsOf, type QuotaOptions, type QuotaResource, quotaResources } from '../../model/quota.ts'
import { lockProject, ownQuota, usage } from '../../store/projects.ts'

/** So much more of some things. */
export type Wanted = Partial<Amounts>

/** What so many instances of a size want. */
export const wantedBy = (count: number, { vcpus, memoryMb }: Size): Wanted => ({
  instances: count,
  cores: count * vcpus,
  ram: count * memoryMb,
})

/**
 * Whether a project may have so much more: counted under a lock that the transaction holds to its end, so that two
 * requests never count the same room. `quota`: what a project may have that has no limits of its own. `QuotaExceeded`.
 */
export async function checkQuota(
  db: Db,
  projectId: string,
  { wanted, quota, now }: { wanted: Wanted; quota: QuotaOptions; now: number },
): Promise<void> {
  const limits = await boundsOf(db, projectId, wanted, quota)
  if (limits.length === 0) return
  await lockProject(db, projectId, now)
  await compare(db, projectId, limits, wanted)
}

/** The same for what is only tried: nothing is locked or written, so another request may take the room. `QuotaExceeded`. */
export async function previewQuota(
  db: Db,
  projectId: string,
  { wanted, quota }: { wanted: Wanted; quota: QuotaOptions },
): Promise<void> {
  await compare(db, projectId, await boundsOf(db, projectId, wanted, quota), wanted)
}

/** What a project may use at most: its own limits, else those of the options; -1: no limit. */
const limitsOf = async (db: Db, projectId: string, quota: QuotaOptions): Promise<Amounts> => ({
  ...amountsOf(quota),
  ...(await ownQuota(db, projectId)),
})

type Bounds = ReadonlyArray<{ resource: QuotaResource; limit: number }>

/** The limits that there are on what is wanted. */
async function boundsOf(db: Db, projectId: string, wanted: Wanted, quota: QuotaOptions): Promise<Bounds> {
  const limits = await limitsOf(db, projectId, quota)
  return quotaResources
    .filter((resource) => wanted[resource] !== undefined && limits[resource] >= 0)
    .map((resource) => ({ resource, limit: limits[resource] }))
}

async function compare(db: Db, project: string, bounds: Bounds, wanted: Wanted): Promise<void> {
  if (bounds.length === 0) return
  const used = await usage(db, project)
  for (const { resource, limit } of bounds) {
    const more = wanted[resource] ?? 0
    if (used[resource] + more > limit)
      fail('QuotaExceeded', { resource, limit, used: used[resource], wanted: more, project })
  }
}
