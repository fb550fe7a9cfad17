import { allow, ruleOfKind } from '../../auth/policy.ts'
import { assert, type Failure, fail } from '../../base/errors.ts'
import { compute } from '../../contracts/compute.ts'
import type { Begun } from '../../contracts/conductor.ts'
import type { Begin, Beginnable, KindArgs } from '../../contracts/kinds.ts'
import type { Instance } from '../../contracts/shapes.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Context } from '../../model/context.ts'
import { deadlineMs, kindOf, type OperationKind, placedBy, stagesOf, verbBefore } from '../../model/operation.ts'
import { beginOperations } from '../../operations/begin.ts'
import { dispatchAll, dispatchOrFail } from '../../operations/dispatch.ts'
import { endOperation } from '../../operations/end.ts'
import { faultOf } from '../../operations/faults.ts'
import { type Dispatch, lockOpen, type Transaction } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import { failOperation } from '../../operations/undo.ts'
import { understands } from '../../rpc/versions.ts'
import { allocationsOf } from '../../store/allocations.ts'
import { lockInstance, resolveInstance, settleInstance } from '../../store/instances.ts'
import type { OperationRecord, Placing } from '../../store/operation-record.ts'
import { type NewOperation, openOperation } from '../../store/operations.ts'
import { scopeOf } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'
import { begunUnder, keyOf, once } from './idempotency.ts'
import { checkTarget } from './target.ts'

/** What is to be begun on which instance, with its names resolved; `key` is as rows keep it. */
export type Beginning = {
  instanceId: string
  kind: OperationKind
  args: unknown
  placing?: Placing | undefined
  key?: string | undefined
  retryOf?: string | undefined
}

/** An operation that was begun; `dispatches` is what is owed if this very request has begun it. */
type Started = { operation: Pick<OperationRecord, 'id' | 'subject'>; dispatches: Dispatch[] }

/** Begins what a front end asks for, on the instance that it names. */
export async function beginOn(deps: ConductorDeps, ctx: Context, request: Begin): Promise<Begun> {
  const { instance: ref, kind, idempotencyKey } = request
  const key = idempotencyKey === undefined ? undefined : keyOf(ctx, idempotencyKey)
  const matches = ({ subject }: OperationRecord) => ref === subject.id || ref === subject.name
  // Before the name is looked up: a delete that is repeated finds no instance of that name any more.
  const { before, made } = await once(
    async () => {
      if (key === undefined) return undefined
      const [begun] = await begunUnder(deps.db, key, { kind, now: deps.clock.now(), matches })
      return begun
    },
    async () => {
      const { id: instanceId } = await resolveInstance(deps.db, ref, scopeOf(ctx))
      const resolved = resolve(ctx, kind, (request.args ?? {}) as KindArgs<Beginnable>)
      return start(deps, ctx, { instanceId, kind, ...resolved, key })
    },
  )
  return before ? begunOf(before) : sendOut(deps, ctx, kind, made)
}

/** What the caller said, and what placing it has to heed. */
function resolve(ctx: Context, kind: Beginnable, args: KindArgs<Beginnable>): Pick<Beginning, 'args' | 'placing'> {
  if (placedBy(kind) === undefined) return { args }
  const host = (args as KindArgs<'migrate'>).host
  if (host !== undefined) allow(ctx, 'os_compute_api:os-migrate-server:migrate:host')
  return { args, placing: { excluded: [], faults: [], ...(host === undefined ? {} : { forced: host }) } }
}

/**
 * Begins an operation on an instance that exists: checks and writes the rows in one transaction, then tells the executor of
 * its first leg. `InstanceBusy`, `InstanceInvalidState`; `UnsupportedVersion` if a host that it needs does not know the
 * kind; `HostUnreachable` if nobody listens and the kind does not wait: the operation has failed then.
 */
export async function begin(deps: ConductorDeps, ctx: Context, beginning: Beginning): Promise<Begun> {
  return sendOut(deps, ctx, beginning.kind, await start(deps, ctx, beginning))
}

async function sendOut(
  deps: ConductorDeps,
  ctx: Context,
  kind: OperationKind,
  { operation, dispatches }: Started,
): Promise<Begun> {
  const [first, ...others] = dispatches
  if (first) {
    await dispatchAll(deps, ctx, others)
    const unheard = await dispatchOrFail(deps, ctx, first)
    if (unheard && kindOf(kind).unreachable === 'fail') {
      if (await failUnheard(deps, operation.id, unheard)) throw unheard
    } else if (unheard) deps.log.info({ ...first }, 'waits for its host to return')
  }
  return begunOf(operation)
}

const begunOf = ({ id, subject }: Pick<OperationRecord, 'id' | 'subject'>): Begun => ({
  operation: id,
  instance: { id: subject.id, name: subject.name },
})

async function start(deps: ConductorDeps, ctx: Context, beginning: Beginning): Promise<Started> {
  const { instanceId } = beginning
  try {
    return await changeOperations(deps, async (t) => {
      const instance = await lockInstance(t.db, instanceId)
      if (!instance) return fail('InstanceNotFound', { id: instanceId })
      return startNow(deps, ctx, t, instance, beginning)
    })
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    // Somebody else has begun one meanwhile: the instance is busy now.
    const open = await openOperation(deps.db, instanceId)
    if (!open) throw e
    fail('InstanceBusy', { name: open.subject.name, task: kindOf(open.kind).task, operation: open.id })
  }
}

async function startNow(
  deps: ConductorDeps,
  ctx: Context,
  t: Transaction,
  seen: Instance,
  { instanceId, kind, args, placing, key, retryOf }: Beginning,
): Promise<Started> {
  allow(ctx, ruleOfKind(kind), { projectId: seen.projectId, what: `Instance "${seen.name}"` })
  const { preempts, onFailure } = kindOf(kind)
  const open = await openOperation(t.db, instanceId, { lock: true })
  if (open && open.kind === kind && preempts) return { operation: open, dispatches: [] }
  check(seen, kind, open)
  // Whatever runs is over now, and its hosts hear so at their next step.
  let instance = open ? await preempt(t, open) : seen
  await checkVersions(deps, t, instance, kind)
  await checkTarget(deps, t.db, instance, kind, placing)
  const operation: NewOperation = {
    id: deps.ids.uuid(),
    subject: { kind: 'instance', id: instanceId, name: instance.name },
    projectId: instance.projectId,
    userId: ctx.userId,
    kind,
    args,
    placing,
    requestId: ctx.requestId,
    idempotencyKey: key === undefined ? undefined : `${key}:0`,
    before: instance.status,
    deadline: t.now + deadlineMs(kind, instance.size),
    retryOf,
    createdAt: t.now,
  }
  // It is built again, from nothing.
  if (onFailure === 'ERROR') {
    await settleInstance(t.db, instanceId, { state: 'BUILD', fault: null }, t.now)
    operation.before = 'BUILD'
    const { fault: _, ...rest } = instance
    instance = { ...rest, status: 'BUILD' }
  }
  return { operation, dispatches: await beginOperations(t, [operation], instance) }
}

/** Whether this may begin now. */
function check(instance: Instance, kind: OperationKind, open: OperationRecord | undefined): void {
  const { name, status } = instance
  const { from, first, preempts } = kindOf(kind)
  if (open && !preempts) fail('InstanceBusy', { name, task: kindOf(open.kind).task, operation: open.id })
  // What failed at the first time takes its disk with it; an instance that came up once has a disk that somebody may want.
  if (first && instance.launchedAt !== undefined)
    fail('InvalidRequest', {
      what: `${name} has run since: its ${kind} cannot be repeated.`,
      hint: `Start it again: nova reboot --hard ${name}`,
    })
  // Its host was silent when the boot was undone, and may have a guest of it: another must not be built beside that.
  if (first && instance.host !== undefined)
    fail('InvalidRequest', {
      what: `${name} may have a guest on its host, which did not answer when the ${kind} failed: it cannot be repeated.`,
      hint: `Delete it, and boot another: nova delete ${name}`,
    })
  if (!from.includes(status)) {
    const before = verbBefore(kind, status)
    const verb = kind.replace(/-hard$/, '')
    fail('InstanceInvalidState', {
      name,
      state: status,
      verb,
      allowed: [...from],
      ...(before ? { first: before } : {}),
    })
  }
  const needsHost = stagesOf(kind).some(({ legs }) => legs.some(({ at }) => at === 'host' || at === 'source'))
  if (instance.host === undefined && needsHost && !first)
    fail('InvalidRequest', {
      what: `Cannot ${kind} ${name}: it has never been on a host.`,
      hint: 'Repeat its boot: nova operation retry; or remove it: nova delete',
    })
}

/** Hosts that the operation needs and that do not know its kind: said now, and not by a deadline. `UnsupportedVersion`. */
async function checkVersions(
  { speakers }: Pick<ConductorDeps, 'speakers'>,
  t: Transaction,
  instance: Instance,
  kind: OperationKind,
): Promise<void> {
  const { since } = kindOf(kind)
  const hosts = stagesOf(kind).some(({ legs }) => legs.some(({ at }) => at === 'holders'))
    ? (await allocationsOf(t.db, instance.id)).map(({ host }) => host)
    : instance.host === undefined
      ? []
      : [instance.host]
  for (const host of hosts) {
    const speaks = speakers.on(compute, 'compute', host)()
    if (speaks !== undefined && !understands(speaks, since))
      fail('UnsupportedVersion', {
        topic: `compute.${host}`,
        version: since,
        supported: speaks,
        what: `"${kind}" on ${host}`,
      })
  }
}

/** Ends what is open, and answers with the instance as it is then. */
async function preempt(t: Transaction, open: OperationRecord): Promise<Instance> {
  const { id, subject, step } = open
  const fault = faultOf('OperationCancelled', { id, ...(step === undefined ? {} : { step }) }, t.now)
  const message = `${fault.message.slice(0, -1)}: its instance is being deleted.`
  const operation = await lockOpen(t.db, id)
  const ended = operation && (await endOperation(t, operation, { state: 'cancelled', fault: { ...fault, message } }))
  const instance = await lockInstance(t.db, subject.id)
  assert(ended && instance, 'an open operation that is locked can be closed')
  return instance
}

/** Nobody heard of the operation: it fails. False if somebody has claimed it all the same. */
async function failUnheard(deps: ConductorDeps, id: string, unheard: Failure<'HostUnreachable'>): Promise<boolean> {
  const { maxAttempts } = deps.options
  return changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, id)
    if (!operation || operation.legs.some(({ attempt }) => attempt > 0)) return false
    const host = operation.legs.find(({ host }) => host !== '')?.host
    const fault = faultOf('HostUnreachable', unheard.params, t.now, host)
    await failOperation(t, operation, fault, { attempts: maxAttempts })
    return true
  })
}
