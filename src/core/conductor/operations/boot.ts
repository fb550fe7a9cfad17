import { mapConcurrent } from '../../base/concurrency.ts'
import type { Failure } from '../../base/errors.ts'
import { randomMac } from '../../base/ids.ts'
import type { Begun, BootRequest, conductor } from '../../contracts/conductor.ts'
import { type ResolvedArgs, resolvedArgs } from '../../contracts/kinds.ts'
import type { Context } from '../../model/context.ts'
import { deadlineMs, kindOf } from '../../model/operation.ts'
import { beginOperations } from '../../operations/begin.ts'
import { about } from '../../operations/change.ts'
import { dispatchAll, dispatchOrFail } from '../../operations/dispatch.ts'
import { type Dispatch, lockOpen } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { addInstances, type NewInstance, namesTaken, removeInstance } from '../../store/instances.ts'
import { type NewOperation, removeOperation } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { begunUnder, keyOf, once } from './idempotency.ts'
import { type Plan, planOf } from './plan.ts'
import { checkQuota, previewQuota, wantedBy } from './quota.ts'

type Booted = Result<typeof conductor, 'boot'>

/** One instance that is to be, and its operation. */
type Pair = { instance: NewInstance; operation: NewOperation }

/**
 * Begins the life of one or several instances: quota, instances and operations in one transaction, then the scheduler is
 * told. If no scheduler listens, nothing is left behind and the caller hears `HostUnreachable`. The same idempotency key
 * within a day gives the first answer again.
 */
export async function boot(deps: ConductorDeps, ctx: Context, request: BootRequest): Promise<Booted> {
  const key = request.idempotencyKey === undefined ? undefined : keyOf(ctx, request.idempotencyKey)
  const { before, made } = await once(
    async () => (key === undefined ? undefined : bootedBefore(deps, key)),
    async () => {
      const plan = await planOf(deps, ctx, request)
      const alike = request.findAlike ? await namesTaken(deps.db, ctx.projectId, plan.names) : undefined
      const pairs = pairsOf(deps, ctx, request, { plan, key, now: deps.clock.now() })
      await write(deps, ctx, pairs, plan)
      return { plan, pairs, alike }
    },
  )
  if (before) return before
  const { plan, pairs, alike } = made
  await sendOut(deps, ctx, pairs)
  return {
    begun: pairs.map(({ operation }) => begunOf(operation)),
    image: plan.image.name,
    flavor: plan.flavor.name,
    ...(alike === undefined ? {} : { alike }),
  }
}

/** Where an instance would go and why; nothing is written. Refuses what boot would refuse, its quota too. */
export async function bootDryRun(
  deps: Pick<ConductorDeps, 'db' | 'imageDir' | 'options' | 'scheduler'>,
  ctx: Context,
  request: Args<typeof conductor, 'bootDryRun'>,
): Promise<Result<typeof conductor, 'bootDryRun'>> {
  const { db, options, scheduler } = deps
  const { image, flavor, size, names, availabilityZone, forcedHost, hints } = await planOf(deps, ctx, request)
  await previewQuota(db, ctx.projectId, { wanted: wantedBy(names.length, size), quota: options.quota })
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

const begunOf = ({ id, subject }: Pick<NewOperation, 'id' | 'subject'>): Begun => ({
  operation: id,
  instance: { id: subject.id, name: subject.name },
})

async function bootedBefore({ db, clock }: ConductorDeps, key: string): Promise<Booted | undefined> {
  const operations = await begunUnder(db, key, { kind: 'boot', now: clock.now() })
  const [first] = operations
  if (!first) return undefined
  const { image, flavor } = resolvedArgs.boot.parse(first.args)
  return { begun: operations.map(begunOf), image, flavor }
}

function pairsOf(
  { ids }: ConductorDeps,
  ctx: Context,
  request: BootRequest,
  { plan, key, now }: { plan: Plan; key: string | undefined; now: number },
): Pair[] {
  const { image, flavor, size, names, forcedHost } = plan
  const args: ResolvedArgs<'boot'> = { image: image.name, flavor: flavor.name }
  const placing = { excluded: [], faults: [], ...(forcedHost === undefined ? {} : { forced: forcedHost }) }
  return names.map((name, i) => {
    const instance: NewInstance = {
      id: ids.uuid(),
      name,
      projectId: ctx.projectId,
      userId: ctx.userId,
      flavorId: flavor.id,
      flavor: flavor.name,
      imageId: image.id,
      image: image.name,
      size,
      availabilityZone: plan.availabilityZone,
      description: request.description,
      metadata: request.metadata ?? {},
      hints: plan.hints,
      userData: request.userData,
      key: request.key,
      createdAt: now,
    }
    const operation: NewOperation = {
      id: ids.uuid(),
      subject: { kind: 'instance', id: instance.id, name },
      projectId: ctx.projectId,
      userId: ctx.userId,
      kind: 'boot',
      args,
      placing,
      requestId: ctx.requestId,
      idempotencyKey: key === undefined ? undefined : `${key}:${i}`,
      before: 'BUILD',
      deadline: now + deadlineMs('boot', size),
      createdAt: now,
    }
    return { instance, operation }
  })
}

async function write(deps: ConductorDeps, ctx: Context, pairs: readonly Pair[], { size }: Plan): Promise<void> {
  await changeOperations(deps, async (t) => {
    const { quota } = deps.options
    await checkQuota(t.db, ctx.projectId, { wanted: wantedBy(pairs.length, size), quota, now: t.now })
    await addInstances(
      t.db,
      pairs.map(({ instance }) => instance),
      () => randomMac(deps.ids),
    )
    await beginOperations(
      t,
      pairs.map(({ operation }) => operation),
    )
  })
}

/** How many placements are asked for at once. */
const atOnce = 50

/** The first message finds out whether a scheduler listens; what becomes of the others is the sweeper's to see to. */
async function sendOut(deps: ConductorDeps, ctx: Context, pairs: readonly Pair[]): Promise<void> {
  const [first, ...others] = pairs.map(
    ({ operation: { id } }): Dispatch => ({ operation: id, service: 'scheduler', host: '' }),
  )
  const unheard = first && (await dispatchOrFail(deps, ctx, first))
  if (unheard) return takeBack(deps, pairs, unheard)
  await mapConcurrent(others, atOnce, (message) => dispatchAll(deps, ctx, [message]))
}

/** Nothing was begun: the rows go again, unless a scheduler has found them all the same. */
async function takeBack(
  deps: ConductorDeps,
  pairs: readonly Pair[],
  unheard: Failure<'HostUnreachable'>,
): Promise<void> {
  const left = await changeOperations(deps, async (t) => {
    let left = 0
    for (const { operation } of pairs) {
      const open = await lockOpen(t.db, operation.id)
      if (open?.instance?.host !== undefined || !open?.legs.every(({ host }) => host === '')) {
        left++
        continue
      }
      await removeOperation(t.db, operation.id)
      await removeInstance(t.db, operation.subject.id)
      t.emit({ ...about(operation, t.now), type: 'instance.create.error', message: unheard.message })
    }
    return left
  })
  if (left < pairs.length) throw unheard
}
