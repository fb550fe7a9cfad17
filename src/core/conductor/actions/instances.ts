import { allow, permits } from '../../auth/policy.ts'
import { fail } from '../../base/errors.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { Instance } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { kindOf } from '../../model/operation.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { change, hostOf } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { decisionOn } from '../../store/decisions.ts'
import { listDeleted } from '../../store/history.ts'
import { listInstances, lockInstance, renameInstance, resolveInstance, summaryOf } from '../../store/instances.ts'
import { legsOfOperation } from '../../store/legs.ts'
import { summaryOfOperation } from '../../store/operation-record.ts'
import { latestPlaced, openOperation } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { scopeOf } from './access.ts'

/** The caller's instances, or everybody's for an administrator who asks so. */
export async function instanceList(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { allProjects, deleted, limit = pageDefault, ...filter }: Args<typeof conductor, 'instanceList'>,
): Promise<Result<typeof conductor, 'instanceList'>> {
  if (allProjects) allow(ctx, 'os_compute_api:servers:index:get_all_tenants')
  if (filter.host !== undefined) allow(ctx, 'os_compute_api:servers:allow_all_filters')
  const asked = { ...filter, limit, projectId: allProjects ? undefined : ctx.projectId }
  const { rows, ...more } = inOneAnswer(deleted ? await listDeleted(db, asked) : await listInstances(db, asked))
  return { instances: rows, ...more }
}

/** One instance, with its task and its open operation. */
export async function instanceShow(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { instance: ref }: Args<typeof conductor, 'instanceShow'>,
): Promise<Instance> {
  const instance = await resolveInstance(db, ref, scopeOf(ctx))
  const open = await openOperation(db, instance.id)
  if (!open) return instance
  const operation = summaryOfOperation(open, await legsOfOperation(db, open.id))
  return { ...instance, task: kindOf(open.kind).task, operation }
}

/** Changes the name alone: it is the ids that everything else holds on to. */
export async function instanceRename(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'publish'>,
  ctx: Context,
  { instance: ref, name }: Args<typeof conductor, 'instanceRename'>,
): Promise<Instance> {
  const { id } = await resolveInstance(deps.db, ref, scopeOf(ctx))
  const now = deps.clock.now()
  await change(deps, async (db, emit) => {
    const before = await lockInstance(db, id)
    if (!before) return fail('InstanceNotFound', { id: ref })
    if (before.name === name) return
    await renameInstance(db, id, name, now)
    emit({
      at: now,
      type: 'instance.rename',
      instanceId: id,
      instanceName: name,
      ...hostOf(before),
      requestId: ctx.requestId,
      projectId: before.projectId,
      message: `${before.name} → ${name}`,
      before: { name: before.name },
      userId: ctx.userId,
    })
  })
  return instanceShow(deps, ctx, { instance: id })
}

/** Questions handed on to each host that it has not answered yet. */
export type Relays = Map<string, number>
/** A host that hangs holds so many of the conductor's slots at most, and so long: hosts need them for their heartbeats. */
const relaysMax = 8
const relayMs = 10_000

/** The console is on the host: its answer is handed on. */
export async function consoleLog(
  { db, computeOn, relays }: Pick<ConductorDeps, 'db' | 'computeOn'> & { relays: Relays },
  ctx: Context,
  { instance: ref, lines }: Args<typeof conductor, 'consoleLog'>,
): Promise<Result<typeof conductor, 'consoleLog'>> {
  const { id, name, host } = await resolveInstance(db, ref, scopeOf(ctx))
  if (host === undefined)
    return fail('InvalidRequest', {
      what: `${name} is on no host, so it has no console.`,
      hint: `Why it is not: nova explain ${name}`,
    })
  const open = relays.get(host) ?? 0
  if (open >= relaysMax) {
    const named = permits(ctx, 'os_compute_api:os-extended-server-attributes')
    return fail('InvalidRequest', {
      what: `${named ? `Host ${host}` : `The host of ${name}`} has not answered ${open} questions for consoles yet.`,
      hint: `Ask again in a moment${named ? `; if that does not help: nova host show ${host}` : ''}.`,
    })
  }
  relays.set(host, open + 1)
  try {
    const asked = { instance: id, ...(lines === undefined ? {} : { lines }) }
    return await computeOn(host).consoleLog(ctx, asked, { timeoutMs: relayMs })
  } finally {
    const left = (relays.get(host) ?? 1) - 1
    if (left > 0) relays.set(host, left)
    else relays.delete(host)
  }
}

/** How an instance came to its host, or why it did not. */
export async function explain(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { instance: ref }: Args<typeof conductor, 'explain'>,
): Promise<Result<typeof conductor, 'explain'>> {
  const instance = await resolveInstance(db, ref, scopeOf(ctx))
  const [decision, operation, open] = await Promise.all([
    decisionOn(db, instance.id),
    latestPlaced(db, instance.id),
    openOperation(db, instance.id),
  ])
  return {
    instance: summaryOf(instance, open?.kind),
    ...(decision === undefined ? {} : { decision }),
    ...(operation === undefined ? {} : { operation }),
  }
}
