import { fail } from '../../base/errors.ts'
import type { Db } from '../../db/open.ts'
import type { Size } from '../../model/instance.ts'
import { type Amounts, lockProject, ownQuota, quotaResources, usage } from '../../store/projects.ts'
import type { ConductorOptions } from '../deps.ts'

/**
 * Whether a project may have so many more of this size: counted from its rows, under a lock that the transaction holds to
 * its end, so that two requests never count the same room. `QuotaExceeded`.
 */
export async function checkQuota(
  db: Db,
  projectId: string,
  { count, size, quota, now }: { count: number; size: Size; quota: ConductorOptions['quota']; now: number },
): Promise<void> {
  const limits: Amounts = {
    instances: quota.instances,
    cores: quota.cores,
    ram: quota.memoryMb,
    ...(await ownQuota(db, projectId)),
  }
  const limited = quotaResources.filter((resource) => limits[resource] >= 0)
  if (limited.length === 0) return
  await lockProject(db, projectId, now)
  const used = await usage(db, projectId)
  const wanted: Amounts = { instances: count, cores: count * size.vcpus, ram: count * size.memoryMb }
  for (const resource of limited)
    if (used[resource] + wanted[resource] > limits[resource])
      fail('QuotaExceeded', {
        resource,
        limit: limits[resource],
        used: used[resource],
        wanted: wanted[resource],
        project: projectId,
      })
}
