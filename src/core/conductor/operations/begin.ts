import { createHash } from 'node:crypto'
import { allow, ruleOfKind } from '../../auth/policy.ts'
import { assert, type Failure, fail } from '../../base/errors.ts'
import type { Begun } from '../../contracts/conductor.ts'
import type { Instance } from '../../contracts/shapes.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Db } from '../../db/open.ts'
import type { Context } from '../../model/context.ts'
import { kindOf, type OperationKind, verbBefore } from '../../model/operation.ts'
import { archiveInstance } from '../../store/history.ts'
import { lockInstance, resolveInstance, settleInstance } from '../../store/instances.ts'
import {
  addOperations,
  forgetKeys,
  type NewOperation,
  type OperationRecord,
  openOperation,
  operationsOfKey,
} from '../../store/operations.ts'
import { scopeOf } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'
import { about, change, hostOf, type Note } from './change.ts'
import { tellOrHear } from './dispatch.ts'
import { endOperation } from './end.ts'
import { faultOf } from './faults.ts'

/** A caller's idempotency key as rows keep it: unique to the project, and of one length. */
export const keyOf = (ctx: Context, key: string): string =>
  createHash('sha256')
    .update(JSON.stringify([ctx.projectId, key]))
    .digest('hex')

/** The same key means the same request for a day. */
export const keyMs = 86_400_000

/** The operations that were begun under a key, while it lasts; what is older gives the key free. */
export async function begunUnder(db: Db, key: string, now: number): Promise<OperationRecord[]> {
  const begun = await operationsOfKey(db, key)
  if (begun.every(({ createdAt }) => createdAt >= now - keyMs)) return begun
  // Only now: MySQL locks all rows that an update looks at.
  await forgetKeys(db, now - keyMs, key)
  return []
}

/** What is to be begun on which instance; `key` is as the caller gave it. */
export type Beginning = { instanceId: string; kind: OperationKind; args: unknown; key?: string; retryOf?: string }

/** An operation that was begun; `fresh` where this very request has done it, so that somebody must be told. */
type Started = { operation: { id: string; instanceId: string; instanceName: string }; host?: string; fresh: boolean }

/**
 * Begins an operation on an instance that exists: checks and writes the row in one transaction, then tells the host.
 * `InstanceBusy`, `InstanceInvalidState`; `HostUnreachable` where the host has no consumer and the kind does not wait for
 * it: the operation has failed then.
 */
export async function begin(deps: ConductorDeps, ctx: Context, beginning: Beginning): Promise<Begun> {
  const started = await start(deps, ctx, beginning)
  const { operation, host } = started
  const begun = { operation: operation.id, instance: { id: operation.instanceId, name: operation.instanceName } }
  if (!started.fresh) return begun
  const { kind } = beginning
  const unheard = await tellOrHear(deps, ctx, { id: operation.id, kind, host })
  if (unheard && kindOf(kind).unreachable === 'fail') {
    if (await failUnheard(deps, operation.id, operation.instanceId, unheard)) throw unheard
  } else if (unheard) deps.log.info({ operation: operation.id, host }, 'waits for its host to come back')
  return begun
}

async function start(deps: ConductorDeps, ctx: Context, beginning: Beginning): Promise<Started> {
  const key = beginning.key === undefined ? undefined : keyOf(ctx, beginning.key)
  const now = deps.clock.now()
  try {
    return await change(deps, async (db, note) => {
      // Locked before the key is looked up: the same request at the same moment waits here, and then finds this one.
      if (key !== undefined) await lockInstance(db, beginning.instanceId)
      const before = key === undefined ? undefined : await beganBefore(db, key, beginning, now)
      return before ?? (await startNow(deps, ctx, db, note, { ...beginning, key }, now))
    })
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    // Somebody else has begun one meanwhile: under the same key it is ours, else the instance is busy now.
    const before = key === undefined ? undefined : await beganBefore(deps.db, key, beginning, now)
    if (before) return before
    const open = await openOperation(deps.db, beginning.instanceId)
    if (!open) throw e
    fail('InstanceBusy', { name: open.instanceName, task: kindOf(open.kind).task, operation: open.id })
  }
}

async function beganBefore(
  db: Db,
  key: string,
  { kind, instanceId }: Beginning,
  now: number,
): Promise<Started | undefined> {
  const [first] = await begunUnder(db, key, now)
  if (!first) return undefined
  if (first.kind !== kind || first.instanceId !== instanceId)
    fail('InvalidRequest', {
      what: `This idempotency key has begun another request: ${first.kind} ${first.instanceName}.`,
    })
  return { operation: first, fresh: false }
}

type Start = Omit<Beginning, 'key'> & { key: string | undefined }

async function startNow(
  { ids }: ConductorDeps,
  ctx: Context,
  db: Db,
  note: (event: Note) => void,
  { instanceId, kind, args, key, retryOf }: Start,
  now: number,
): Promise<Started> {
  let instance = await lockInstance(db, instanceId)
  if (!instance) fail('InstanceNotFound', { id: instanceId })
  allow(ctx, ruleOfKind(kind), { projectId: instance.projectId, what: `Instance "${instance.name}"` })
  const open = await openOperation(db, instanceId, { lock: true })
  if (open?.kind === 'delete' && kind === 'delete') return { operation: open, fresh: false }
  check(instance, kind, open)
  // Delete comes before everything else: what runs is over now, and its host will hear so at its next step.
  if (open) instance = await preempt(db, note, open, now)
  const host = instance.host
  const over = kind === 'delete' && host === undefined
  const operation: NewOperation = {
    id: ids.uuid(),
    instanceId,
    instanceName: instance.name,
    projectId: instance.projectId,
    userId: ctx.userId,
    kind,
    args,
    requestId: ctx.requestId,
    idempotencyKey: key === undefined ? undefined : `${key}:0`,
    state: over ? 'succeeded' : 'queued',
    host,
    deadline: now + kindOf(kind).deadlineSeconds * 1000,
    retryOf,
    createdAt: now,
  }
  await addOperations(db, [operation])
  const event = (phase: 'start' | 'end', state: 'queued' | 'succeeded'): Note => ({
    ...about(operation, now),
    ...hostOf(instance),
    type: `instance.${kindOf(kind).event}.${phase}`,
    operation: { kind, state, attempt: 0 },
  })
  if (kind === 'boot') await settleInstance(db, instanceId, { state: 'BUILD', fault: null }, now)
  note({ ...event('start', 'queued'), status: kind === 'boot' ? 'BUILD' : instance.status })
  if (!over) return { operation, fresh: true, ...(host === undefined ? {} : { host }) }
  // It was never placed, so no host has anything of it: it goes right here.
  await archiveInstance(db, instance, now)
  note(event('end', 'succeeded'))
  return { operation, fresh: false }
}

/** Whether this may begin now. */
function check(instance: Instance, kind: OperationKind, open: OperationRecord | undefined): void {
  const { name, status } = instance
  if (open && kind !== 'delete') fail('InstanceBusy', { name, task: kindOf(open.kind).task, operation: open.id })
  // A boot that fails takes its disk with it; one that came up once has a disk that somebody may want.
  if (kind === 'boot' && instance.launchedAt !== undefined)
    fail('InvalidRequest', {
      what: `${name} has run since: its boot cannot be done again.`,
      hint: `Start it anew: nova reboot --hard ${name}`,
    })
  const { from } = kindOf(kind)
  if (!from.includes(status)) {
    const first = verbBefore(kind, status)
    const verb = kind === 'reboot-hard' ? 'reboot' : kind
    fail('InstanceInvalidState', { name, state: status, verb, allowed: [...from], ...(first ? { first } : {}) })
  }
  if (instance.host === undefined && kind !== 'delete' && kind !== 'boot')
    fail('InvalidRequest', {
      what: `Cannot ${kind} ${name}: it has never been on a host.`,
      hint: 'Try its boot again: nova operation retry; or remove it: nova delete',
    })
}

async function preempt(db: Db, note: (event: Note) => void, open: OperationRecord, now: number): Promise<Instance> {
  const fault = faultOf(
    'OperationCancelled',
    { id: open.id, ...(open.step === undefined ? {} : { step: open.step }) },
    now,
  )
  const message = `${fault.message.slice(0, -1)}: its instance is being deleted.`
  const ended = await endOperation(db, note, open, {
    outcome: { state: 'cancelled', fault: { ...fault, message } },
    by: 'anyone',
    now,
  })
  const instance = await lockInstance(db, open.instanceId)
  assert(ended && instance, 'an open operation that is locked can be closed')
  return instance
}

/** Nobody heard of the operation: it fails. False where somebody has claimed it all the same. */
async function failUnheard(
  deps: ConductorDeps,
  operationId: string,
  instanceId: string,
  unheard: Failure<'HostUnreachable'>,
): Promise<boolean> {
  const now = deps.clock.now()
  return change(deps, async (db, note) => {
    const open = await openOperation(db, instanceId)
    if (open?.id !== operationId) return false
    const fault = faultOf('HostUnreachable', unheard.params, now, open.host)
    return endOperation(db, note, open, { outcome: { state: 'failed', fault }, by: 'queued', now })
  })
}

/** Begins what a face asks for, on the instance that it names. */
export async function beginOn(
  deps: ConductorDeps,
  ctx: Context,
  {
    instance: ref,
    kind,
    idempotencyKey,
  }: { instance: string; kind: OperationKind; idempotencyKey?: string | undefined },
): Promise<Begun> {
  // Before the name is looked up: a delete that is repeated finds no instance of that name any more.
  const [before] = idempotencyKey === undefined ? [] : await operationsOfKey(deps.db, keyOf(ctx, idempotencyKey))
  if (before?.kind === kind && (ref === before.instanceId || ref === before.instanceName))
    return { operation: before.id, instance: { id: before.instanceId, name: before.instanceName } }
  const instance = await resolveInstance(deps.db, ref, scopeOf(ctx))
  return begin(deps, ctx, {
    instanceId: instance.id,
    kind,
    args: {},
    ...(idempotencyKey === undefined ? {} : { key: idempotencyKey }),
  })
}
