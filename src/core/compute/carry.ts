import { abortable } from '../base/concurrency.ts'
import { assert, Failure, isFailure, reason } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { backoffMs, isUnavailable, retryWhileUnavailable } from '../base/retry.ts'
import type { Work } from '../contracts/agent.ts'
import type { Context } from '../model/context.ts'
import type { PowerState } from '../model/instance.ts'
import { kindOf } from '../model/operation.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import { faultOf } from './fault.ts'
import type { Hand } from './hand.ts'
import { verbs } from './verbs/index.ts'
import type { Tools, Verb } from './verbs/verb.ts'

/** How the steps came to their end. `left`: as it is, for another to go on with; nobody is told. */
type End = { as: 'done' } | { as: 'failed'; cause: unknown } | { as: 'cancelled' } | { as: 'left'; why: string }

type CarryDeps = Pick<ComputeDeps, 'agent' | 'clock' | 'driver' | 'host' | 'ids' | 'incarnation' | 'log'>

/** One operation that is being carried out. */
type Job = {
  readonly deps: CarryDeps
  readonly tools: Tools
  readonly ctx: Context
  readonly hand: Hand
  readonly work: Work
  readonly verb: Verb
  readonly log: Log
  /** The step that it has come to. */
  step: string
  /** What held it up last; part of the fault where its deadline passes. */
  trouble: string | undefined
}

const undoTries = 5
/** How long past its deadline the end of an operation is still told: the conductor may not have failed it yet. */
const lateMs = 10_000

/** Takes the steps of a claimed operation that are still to take, and tells the conductor how it ended. Never rejects. */
export async function carryOut(deps: CarryDeps, tools: Tools, ctx: Context, hand: Hand, work: Work): Promise<void> {
  const { id, kind, step } = work.operation
  const log = deps.log.child({ operation: id, kind, instance: work.instance.id, requestId: ctx.requestId })
  const job: Job = { deps, tools, ctx, hand, work, verb: verbs[kind], log, step, trouble: undefined }
  const begun = deps.clock.now()
  const disarm = deps.clock.after(Math.max(0, deadlineOf(job) - begun), () => hand.end(tooLate(job)))
  try {
    const end = await takeSteps(job)
    disarm()
    if (end.as === 'left') return log.info({ step: job.step, why: end.why }, 'operation left as it is')
    if (end.as === 'failed') log.warn({ step: job.step, err: end.cause }, 'operation failed')
    if (end.as !== 'done') await undo(job)
    await tell(job, end)
    log.info({ end: end.as, ms: deps.clock.now() - begun }, 'operation ended')
  } catch (e) {
    // Its lease will lapse, and the conductor send it again.
    log.error({ err: e }, 'operation dropped')
  } finally {
    disarm()
  }
}

/** The operation's deadline by this host's clock. */
const deadlineOf = ({ hand, work }: Job): number => work.operation.deadline + hand.aheadMs

async function takeSteps(job: Job): Promise<End> {
  const { hand, tools, verb, work } = job
  try {
    for (const [n, name] of stepsToTake(job).entries()) {
      // Claiming has recorded the first.
      if (n > 0) await record(job, name)
      hand.waits.throwIfAborted()
      job.step = name
      job.log.debug({ step: name }, 'step')
      await verb.steps[name]!(tools, work, hand.action)
    }
  } catch (e) {
    return endOf(job, e)
  }
  // The action was done before it could be ended. It is taken back where it must leave nothing; else done is done.
  if (hand.action.aborted && (hand.left.aborted || verb.undo)) return endOf(job, hand.action.reason)
  return { as: 'done' }
}

/** The names of the steps to take: from the recorded one on, or all of the host's where only placing was done. */
function stepsToTake({ verb, work }: Job): string[] {
  const { kind, step } = work.operation
  const own = kindOf(kind).steps.filter((name) => name in verb.steps)
  if (step === 'place') return own
  assert(own.includes(step), `a ${kind} has no step "${step}"`)
  return own.slice(own.indexOf(step))
}

function endOf({ hand }: Job, thrown: unknown): End {
  if (hand.left.aborted) return { as: 'left', why: reason(hand.left.reason) }
  const cause = hand.waits.aborted ? hand.waits.reason : thrown
  if (isFailure(cause, 'OperationLost')) return { as: 'left', why: cause.message }
  if (isFailure(cause, 'OperationCancelled')) return { as: 'cancelled' }
  return { as: 'failed', cause }
}

/** Tells the conductor of the step to come; waits for it where it is away. */
async function record(job: Job, step: string): Promise<void> {
  const { deps, ctx, hand, work, log } = job
  const said = { ...selfOf(deps), operation: work.operation.id, step }
  await retryWhileUnavailable(
    deps,
    hand.waits,
    () => deps.agent.step(ctx, said),
    (e) => {
      job.trouble = reason(e)
      log.warn({ step, err: e }, 'the conductor cannot be told of a step; trying again')
    },
  )
}

function tooLate({ work, step, trouble }: Job): Failure {
  const { id, kind } = work.operation
  const said = { id, kind, step, seconds: kindOf(kind).deadlineSeconds }
  return new Failure('DeadlinePassed', trouble === undefined ? said : { ...said, last: trouble })
}

/**
 * Takes back what a failed or cancelled operation made here, several times if need be. Where even that fails, the power
 * state that is told at the end shows that the guest is still here.
 */
async function undo({ deps, tools, verb, work, log }: Job): Promise<void> {
  for (let n = 0; verb.undo && n < undoTries; n++) {
    try {
      return await verb.undo(tools, work)
    } catch (e) {
      log.error({ err: e }, 'undoing failed')
    }
    await deps.clock.sleep(backoffMs(n, deps.ids.random()))
  }
}

/** A finished action must not be forgotten: told until it is heard, is another's, or nobody waits for it any more. */
async function tell(job: Job, end: End): Promise<void> {
  const { deps, ctx, hand, work, log } = job
  const until = Math.max(deadlineOf(job), deps.clock.now()) + lateMs
  let cancelled = end.as === 'cancelled'
  for (let n = 0; ; n++) {
    const finish = deps.agent.finish(ctx, {
      ...selfOf(deps),
      operation: work.operation.id,
      power: await observe(job),
      ...(end.as === 'failed' && !cancelled ? { fault: faultOf(deps, end.cause) } : {}),
      ...(cancelled ? { cancelled } : {}),
    })
    try {
      // Even a daemon that is to stop says it once.
      await (n === 0 ? finish : abortable(finish, hand.left))
      return
    } catch (e) {
      if (hand.left.aborted) return log.info({ why: reason(hand.left.reason) }, 'left without telling the end')
      if (isFailure(e, 'OperationLost')) return log.info({ why: e.message }, 'operation was over already')
      const retracted = isFailure(e, 'OperationCancelled') && !cancelled
      if (!retracted && (!isUnavailable(e) || deps.clock.now() >= until)) throw e
      log.warn({ err: e }, 'the end was not accepted; telling it again')
      if (retracted) await undo(job)
      cancelled ||= retracted
    }
    await deps.clock.sleep(backoffMs(n, deps.ids.random()), hand.left)
  }
}

async function observe({ deps, work, log }: Job): Promise<PowerState> {
  try {
    return await deps.driver.power(work.instance.id)
  } catch (e) {
    log.error({ err: e }, 'the power state cannot be seen')
    return 'CRASHED'
  }
}
