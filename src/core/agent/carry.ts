import { abortable, deferred } from '../base/concurrency.ts'
import { Failure, fail, isFailure, reason } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { backoffMs, isUnavailable, retryWhileUnavailable } from '../base/retry.ts'
import type { Work } from '../contracts/agent.ts'
import { type Results, resolvedArgs } from '../contracts/kinds.ts'
import type { Context } from '../model/context.ts'
import { deadlineMs, type OperationKind, operationKinds } from '../model/operation.ts'
import { check } from '../rpc/check.ts'
import { type AgentDeps, type AgentHooks, speakerOf } from './deps.ts'
import { faultOf } from './fault.ts'
import type { Held } from './held.ts'
import type { Slot } from './slot.ts'
import type { AnyVerb, StepContext } from './verb.ts'

/** How a leg came to its end. `left`: as it is, for another to go on with; nobody is told. */
type End = { as: 'done' } | { as: 'failed'; cause: unknown } | { as: 'cancelled' } | { as: 'left'; why: string }

/** One leg that is being carried out. */
type Job<Tools> = {
  readonly deps: AgentDeps
  readonly hooks: AgentHooks
  readonly tools: Tools
  readonly slot: Slot
  readonly ctx: Context
  readonly held: Held
  work: Work
  /** Undefined: this host does not know the kind. */
  readonly verb: AnyVerb<Tools> | undefined
  readonly log: Log
  /** The step that it has come to. */
  step: string
  /** What held it up last; part of the fault if its deadline passes. */
  trouble: string | undefined
}

const undoTries = 5
/** How long a step waits for news before it asks without. */
const newsWithinMs = 15_000
/** How long past its deadline the end of a leg is still told: the conductor may not have failed it yet. */
const lateMs = 10_000

/** Takes the steps of a claimed leg, or undoes them, and tells the conductor how that ended. Never rejects. */
export async function carryOut<Tools>(
  deps: AgentDeps,
  hooks: AgentHooks,
  { tools, verb, slot }: { tools: Tools; verb: AnyVerb<Tools> | undefined; slot: Slot },
  ctx: Context,
  held: Held,
  work: Work,
): Promise<void> {
  const { id, kind, role, steps, undo } = work.operation
  const log = deps.log.child({ operation: id, kind, role, subject: work.subject.id, requestId: ctx.requestId })
  const job: Job<Tools> = {
    deps,
    hooks,
    tools,
    slot,
    ctx,
    held,
    work,
    verb,
    log,
    step: steps[0] as string,
    trouble: undefined,
  }
  const begun = deps.clock.now()
  const disarm = deps.clock.after(Math.max(0, deadlineOf(job) - begun), () => held.cancel(tooLate(job)))
  try {
    if (undo) await undoSteps(job, steps, true)
    else {
      const end = await takeSteps(job)
      disarm()
      held.progress = undefined
      if (end.as === 'left') return log.info({ step: job.step, why: end.why }, 'operation left as it is')
      if (end.as === 'failed') log.warn({ step: job.step, err: end.cause }, 'operation failed')
      const toUndo = await finish(job, end)
      if (toUndo) await undoSteps(job, toUndo, false)
      log.info({ end: end.as, ms: deps.clock.now() - begun }, 'leg ended')
    }
  } catch (e) {
    // Its lease will lapse, and the conductor dispatch it again.
    if (held.abandonedSignal.aborted) log.info({ why: reason(held.abandonedSignal.reason) }, 'operation left as it is')
    else log.error({ err: e }, 'operation dropped')
  } finally {
    disarm()
  }
}

/** The operation's deadline by this host's clock. */
const deadlineOf = <T>({ held, work }: Job<T>): number => work.operation.deadline + held.aheadMs

async function takeSteps<T>(job: Job<T>): Promise<End> {
  const { held, tools, verb, work } = job
  try {
    if (!verb) failUnknown(job)
    const context = contextOf(job)
    for (const [n, name] of work.operation.steps.entries()) {
      // Claiming has recorded the first.
      if (n > 0) await record(job, name, false)
      held.waitSignal.throwIfAborted()
      job.step = name
      held.progress = undefined
      job.log.debug({ step: name }, 'step')
      const step = verb.steps[name] ?? fail('InvalidRequest', { what: `A ${work.operation.kind} has no step ${name}.` })
      await step(tools, context)
    }
  } catch (e) {
    return endOf(job, e)
  }
  // The step was done before it could be ended. If it can be undone, the conductor hears of the cancellation; else done is done.
  const { stepSignal, abandonedSignal } = held
  const undoable = work.operation.steps.some((name) => verb?.undo?.[name])
  if (stepSignal.aborted && (abandonedSignal.aborted || undoable)) return endOf(job, stepSignal.reason)
  return { as: 'done' }
}

function failUnknown<T>({ deps: { service: topic, version: supported }, work }: Job<T>): never {
  const what = `the operation "${work.operation.kind}"`
  return fail('UnsupportedVersion', { topic, supported, what, version: 'a newer one' })
}

function contextOf<T>(job: Job<T>): StepContext {
  const { deps, ctx, held } = job
  const kind = job.work.operation.kind as OperationKind
  const args = check(resolvedArgs[kind] as never, job.work.operation.args, kind)
  const refresh = async () => {
    held.news = false
    const asked = () => deps.agent.claim(ctx, { ...speakerOf(deps), operation: held.operation })
    job.work = await retryWhileUnavailable(deps, held.stepSignal, asked)
  }
  return {
    get work() {
      return job.work
    },
    args: args as never,
    signal: held.stepSignal,
    progress: (progress) => {
      held.progress = progress
    },
    withoutSlot: (work) => job.slot.without(work),
    share: (result) => record(job, job.step, false, result),
    async result(name, unlike, patienceMs) {
      const isNew = (value: unknown) => value !== undefined && JSON.stringify(value) !== JSON.stringify(unlike)
      if (!isNew(job.work.operation.results[name])) await refresh()
      while (!isNew(job.work.operation.results[name])) {
        await nextNews(deps, held, patienceMs ?? newsWithinMs)
        await refresh()
        if (patienceMs !== undefined && job.work.operation.results[name] !== undefined) break
      }
      return job.work.operation.results[name] as never
    },
  }
}

/** Waits for news of the operation that was not looked at yet, or so long: news may be lost on its way. */
async function nextNews({ clock }: AgentDeps, held: Held, withinMs: number): Promise<void> {
  const enough = new AbortController()
  const news = deferred()
  held.onNews = news.resolve
  if (held.news) news.resolve()
  try {
    await abortable(Promise.race([news.promise, clock.sleep(withinMs, enough.signal)]), held.stepSignal)
  } finally {
    held.onNews = () => undefined
    enough.abort()
  }
}

function endOf<T>({ held }: Job<T>, thrown: unknown): End {
  if (held.abandonedSignal.aborted) return { as: 'left', why: reason(held.abandonedSignal.reason) }
  const cause = held.waitSignal.aborted ? held.waitSignal.reason : thrown
  if (isFailure(cause, 'OperationLost')) return { as: 'left', why: cause.message }
  if (isFailure(cause, 'OperationCancelled')) return { as: 'cancelled' }
  return { as: 'failed', cause }
}

/** Tells the conductor of the step to come, or of what a step has found out; waits for the conductor if it is away. */
async function record<T>(job: Job<T>, step: string, undo: boolean, result?: Results): Promise<void> {
  const { deps, ctx, held, work, log } = job
  const reached = {
    ...speakerOf(deps),
    operation: work.operation.id,
    step,
    attempt: work.operation.attempt,
    ...(undo ? { undo } : {}),
    ...(result === undefined ? {} : { result }),
  }
  await retryWhileUnavailable(
    deps,
    undo ? held.abandonedSignal : held.waitSignal,
    () => deps.agent.step(ctx, reached),
    (e) => {
      job.trouble = reason(e)
      log.warn({ step, err: e }, 'no conductor to record a step; retrying')
    },
  )
}

function tooLate<T>({ work, step, trouble }: Job<T>): Failure {
  const { id, kind } = work.operation
  const seconds = kind in operationKinds ? Math.round(deadlineMs(kind as OperationKind, work.instance?.size) / 1000) : 0
  return new Failure('DeadlinePassed', { id, kind, step, seconds, ...(trouble === undefined ? {} : { last: trouble }) })
}

/**
 * Undoes these steps in order, each recorded before it is undone and repeated if need be, and tells the conductor. What
 * cannot be undone is told as a fault.
 */
async function undoSteps<T>(job: Job<T>, steps: readonly string[], claimed: boolean): Promise<void> {
  let cause: unknown
  for (const [n, name] of steps.entries()) {
    if (n > 0 || !claimed) await record(job, name, true)
    job.step = name
    job.log.info({ step: name }, 'undoing')
    cause = await undoStep(job, name)
    if (cause !== undefined) break
  }
  await finish(job, cause === undefined ? { as: 'done' } : { as: 'failed', cause }, true)
}

/** The last failure, if the step could not be undone. */
async function undoStep<T>(job: Job<T>, name: string): Promise<unknown> {
  const { deps, held, tools, verb, log } = job
  const undo = verb?.undo?.[name]
  let last: unknown
  for (let n = 0; undo && n < undoTries; n++) {
    try {
      await undo(tools, { ...contextOf(job), work: job.work, signal: held.abandonedSignal })
      return undefined
    } catch (e) {
      held.abandonedSignal.throwIfAborted()
      log.error({ step: name, err: e }, 'undoing failed')
      last = e
    }
    await deps.clock.sleep(backoffMs(n, deps.ids.random()), held.abandonedSignal)
  }
  return last
}

/**
 * Tells the conductor the end of a leg: until it is heard, is another's, or nobody waits for it any more. Answers with the
 * steps to undo here, if the conductor says so.
 */
async function finish<T>(job: Job<T>, end: End, undone = false): Promise<string[] | undefined> {
  const { deps, hooks, ctx, held, work, log } = job
  const until = Math.max(deadlineOf(job), deps.clock.now()) + lateMs
  held.reporting = true
  for (let n = 0; ; n++) {
    const power = await hooks.observe(work)
    const sent = deps.agent.finish(ctx, {
      ...speakerOf(deps),
      operation: work.operation.id,
      ...(power === undefined ? {} : { power }),
      ...(end.as === 'failed' ? { fault: faultOf(deps, end.cause) } : {}),
      ...(end.as === 'cancelled' ? { cancelled: true } : {}),
      ...(undone ? { undone } : {}),
    })
    try {
      // Even a daemon that is to stop says it once.
      const { undo } = await (n === 0 ? sent : abortable(sent, held.abandonedSignal))
      held.reporting = undo === undefined
      return undo
    } catch (e) {
      if (held.abandonedSignal.aborted) {
        log.info({ why: reason(held.abandonedSignal.reason) }, 'abandoned before its end was recorded')
        return undefined
      }
      if (isFailure(e, 'OperationLost')) {
        log.info({ why: e.message }, 'operation was over already')
        return undefined
      }
      if (!isUnavailable(e) || deps.clock.now() >= until) throw e
      log.warn({ err: e }, 'no conductor to record the end; retrying')
    }
    await deps.clock.sleep(backoffMs(n, deps.ids.random()), held.abandonedSignal)
  }
}
