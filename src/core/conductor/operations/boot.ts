import { type Failure, fail, isFailure } from '../../base/errors.ts'
import type { Begun, BootRequest, conductor } from '../../contracts/conductor.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Db } from '../../db/open.ts'
import type { Context } from '../../model/context.ts'
import { kindOf } from '../../model/operation.ts'
import type { Result } from '../../rpc/contract.ts'
import { addInstances, type NewInstance } from '../../store/instances.ts'
import { addOperations, type NewOperation } from '../../store/operations.ts'
import type { BootArgs } from '../../store/placement.ts'
import { removeQueuedBoot } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { begunUnder, keyOf } from './begin.ts'
import { about, change } from './change.ts'
import { tell, tellOrHear } from './dispatch.ts'
import { type Plan, planOf } from './plan.ts'
import { checkQuota } from './quota.ts'

type Booted = Result<typeof conductor, 'boot'>

/** One instance that is to be, and its operation. */
type Pair = { instance: NewInstance; operation: NewOperation }

/**
 * Begins the life of one or several instances: quota, instances and operations in one transaction, then the scheduler is
 * told. Where no scheduler listens, nothing is left behind and the caller hears `HostUnreachable`. The same idempotency
 * key within a day gives the first answer again.
 */
export async function boot(deps: ConductorDeps, ctx: Context, request: BootRequest): Promise<Booted> {
  const key = request.idempotencyKey === undefined ? undefined : keyOf(ctx, request.idempotencyKey)
  const before = key === undefined ? undefined : await bootedBefore(deps, key)
  if (before) return before
  const plan = await planOf(deps, ctx, request)
  const now = deps.clock.now()
  const pairs = pairsOf(deps, ctx, request, { plan, key, now })
  try {
    await write(deps, ctx, pairs, plan, now)
  } catch (e) {
    // The same request at the same moment: the other one was first, and may have taken the last of the quota.
    const met = isUniqueViolation(e) || isFailure(e, 'QuotaExceeded')
    const twin = key !== undefined && met ? await bootedBefore(deps, key) : undefined
    if (twin) return twin
    throw e
  }
  await sendOut(deps, ctx, pairs)
  return { begun: pairs.map(begunOf), image: plan.image.name, flavor: plan.flavor.name }
}

const begunOf = ({ operation }: { operation: Pick<NewOperation, 'id' | 'instanceId' | 'instanceName'> }): Begun => ({
  operation: operation.id,
  instance: { id: operation.instanceId, name: operation.instanceName },
})

async function bootedBefore({ db, clock }: ConductorDeps, key: string): Promise<Booted | undefined> {
  const operations = await begunUnder(db, key, clock.now())
  const [first] = operations
  if (!first) return undefined
  if (first.kind !== 'boot')
    fail('InvalidRequest', {
      what: `This idempotency key has begun another request: ${first.kind} ${first.instanceName}.`,
    })
  const { image, flavor } = first.args as BootArgs
  return { begun: operations.map((operation) => begunOf({ operation })), image, flavor }
}

function pairsOf(
  { ids }: ConductorDeps,
  ctx: Context,
  request: BootRequest,
  { plan, key, now }: { plan: Plan; key: string | undefined; now: number },
): Pair[] {
  const { image, flavor, names } = plan
  const args: BootArgs = {
    image: image.name,
    flavor: flavor.name,
    excluded: [],
    faults: [],
    forced: plan.forcedHost !== undefined,
  }
  return names.map((name, i) => {
    const instance: NewInstance = {
      id: ids.uuid(),
      name,
      projectId: ctx.projectId,
      userId: ctx.userId,
      flavor: flavor.name,
      imageId: image.id,
      image: image.name,
      size: { vcpus: flavor.vcpus, memoryMb: flavor.memoryMb, diskGb: flavor.diskGb },
      availabilityZone: plan.availabilityZone,
      forcedHost: plan.forcedHost,
      description: request.description,
      metadata: request.metadata ?? {},
      hints: plan.hints,
      userData: request.userData,
      key: request.key,
      createdAt: now,
    }
    const operation: NewOperation = {
      id: ids.uuid(),
      instanceId: instance.id,
      instanceName: name,
      projectId: ctx.projectId,
      userId: ctx.userId,
      kind: 'boot',
      args,
      requestId: ctx.requestId,
      idempotencyKey: key === undefined ? undefined : `${key}:${i}`,
      state: 'queued',
      deadline: now + kindOf('boot').deadlineSeconds * 1000,
      createdAt: now,
    }
    return { instance, operation }
  })
}

async function write(
  deps: ConductorDeps,
  ctx: Context,
  pairs: readonly Pair[],
  { flavor }: Plan,
  now: number,
): Promise<void> {
  await change(deps, async (db: Db, note) => {
    await checkQuota(db, ctx.projectId, { count: pairs.length, size: flavor, quota: deps.options.quota, now })
    await addInstances(
      db,
      pairs.map(({ instance }) => instance),
    )
    await addOperations(
      db,
      pairs.map(({ operation }) => operation),
    )
    for (const { operation } of pairs)
      note({
        ...about(operation, now),
        type: 'instance.create.start',
        operation: { kind: 'boot', state: 'queued', attempt: 0 },
        status: 'BUILD',
      })
  })
}

/** How many placements are asked for at once. */
const atOnce = 50

/** The first message finds out whether a scheduler listens; what becomes of the others is the sweeper's to see to. */
async function sendOut(deps: ConductorDeps, ctx: Context, pairs: readonly Pair[]): Promise<void> {
  const [first, ...others] = pairs.map(({ operation: { id, kind } }) => ({ id, kind, host: undefined }))
  const unheard = first && (await tellOrHear(deps, ctx, first))
  if (unheard) return takeBack(deps, pairs, unheard)
  for (let start = 0; start < others.length; start += atOnce)
    await Promise.all(
      others
        .slice(start, start + atOnce)
        .map((message) =>
          tell(deps, ctx, message).catch((e) =>
            deps.log.warn({ operation: message.id, err: e }, 'the sweeper will tell'),
          ),
        ),
    )
}

/** Nothing was begun: the rows go again, unless a scheduler has found them all the same. */
async function takeBack(
  deps: ConductorDeps,
  pairs: readonly Pair[],
  unheard: Failure<'HostUnreachable'>,
): Promise<void> {
  const now = deps.clock.now()
  const left = await change(deps, async (db, note) => {
    let left = 0
    for (const { operation } of pairs) {
      if (!(await removeQueuedBoot(db, operation))) left++
      else note({ ...about(operation, now), type: 'instance.create.error', message: unheard.message })
    }
    return left
  })
  if (left < pairs.length) throw unheard
}
