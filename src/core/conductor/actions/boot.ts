import type { conductor } from '../../contracts/conductor.ts'
import type { Context } from '../../model/context.ts'
import { kindOf } from '../../model/operation.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import type { ConductorDeps } from '../deps.ts'
import { planOf } from '../operations/plan.ts'
import { previewQuota } from '../operations/quota.ts'

/** Where an instance would go and why; nothing is written. Refuses what boot would refuse, its quota too. */
export async function bootDryRun(
  deps: Pick<ConductorDeps, 'db' | 'options' | 'scheduler'>,
  ctx: Context,
  request: Args<typeof conductor, 'bootDryRun'>,
): Promise<Result<typeof conductor, 'bootDryRun'>> {
  const { db, options, scheduler } = deps
  const { image, flavor, names, availabilityZone, forcedHost, hints } = await planOf(deps, ctx, request)
  const size = { vcpus: flavor.vcpus, memoryMb: flavor.memoryMb, diskGb: flavor.diskGb }
  await previewQuota(db, ctx.projectId, { count: names.length, size, quota: options.quota })
  const decision = await scheduler.decide(ctx, {
    projectId: ctx.projectId,
    size,
    hints,
    ...(availabilityZone === undefined ? {} : { availabilityZone }),
    ...(forcedHost === undefined ? {} : { forcedHost }),
    excluded: [],
    needs: kindOf('boot').since,
  })
  return { decision, image: image.name, flavor: flavor.name }
}
