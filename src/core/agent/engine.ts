import { abortable, deferred, type KeyedMutex, Semaphore } from '../base/concurrency.ts'
import { isFailure, reason } from '../base/errors.ts'
import { isUnavailable, retryWhileUnavailable } from '../base/retry.ts'
import type { Work } from '../contracts/agent.ts'
import { type Context, serviceContext } from '../model/context.ts'
import { kindOf, type OperationKind, operationKinds, stagesOf } from '../model/operation.ts'
import { carryOut } from './carry.ts'
import { type AgentDeps, type AgentHooks, speakerOf } from './deps.ts'
import { type Held, newHeld } from './held.ts'
import { Slot } from './slot.ts'
import type { AnyVerb } from './verb.ts'

/** How long steps under way may take to end when the daemon stops, and how long after they were told to. */
const stopWithinMs = 4_000
const abandonWithinMs = 1_500

/** An operation that was announced here. Neither promise rejects. */
type Run = {
  /** A leg of it is this host's now, or is not to be, or no conductor has answered yet: whoever announced it waits no longer. */
  readonly claimed: Promise<void>
  /** It has ended here, however it ended, or was left behind by a daemon that stops. */
  readonly ended: Promise<void>
}

/** Carries out legs of operations: at most one of a subject at a time, and each once, however often it is announced. */
export type Engine = {
  /** Lets in what {@link Engine.run} holds back until the conductor knows this life of the daemon. */
  open(): void
  /** Claims a leg of an operation and carries it out. One that is held already goes on as it does, and hears the news. */
  run(ctx: Context, operation: string): Run
  /** What is held at this moment: the legs whose leases are to be renewed. */
  held(): readonly Held[]
  /** Claims no more; leaves what runs at its next step. Resolves in bounded time, even if a step hangs. */
  stop(): Promise<void>
}

type Entry = { readonly held: Held; readonly run: Run }

/** What a service of a host brings: its tools, its verbs by kind, and what it can see. */
export type AgentService<Tools> = {
  readonly tools: Tools
  readonly verbs: Readonly<Partial<Record<string, AnyVerb<Tools>>>>
  readonly hooks: AgentHooks
}

/** An engine that holds nothing. `mutex` is by subject: who holds one keeps its operations waiting. */
export function openEngine<Tools>(deps: AgentDeps, service: AgentService<Tools>, mutex: KeyedMutex): Engine {
  const { log } = deps
  const entries = new Map<string, Entry>()
  const opened = deferred()
  const stopped = deferred()
  const slots = new Semaphore(deps.options.slots)
  let stopping = false

  async function carry(held: Held, work: Work): Promise<void> {
    const kind = work.operation.kind as OperationKind
    if (kind in operationKinds && kindOf(kind).preempts) preEmpt(held, work)
    const subject = work.subject.id
    try {
      // A cancelled one waits as well: its end is told when the one before it has let go of the subject.
      const release = await mutex.acquire(subject, held.abandonedSignal)
      try {
        const slot = new Slot(meetsOthers(work) ? undefined : slots, held.abandonedSignal)
        await slot.take()
        try {
          const ctx = serviceContext(deps.service, work.operation.requestId)
          const { tools, verbs, hooks } = service
          await carryOut(deps, hooks, { tools, verb: verbs[kind], slot }, ctx, held, work)
        } finally {
          slot.free()
        }
      } finally {
        release()
      }
    } catch (e) {
      log.info({ operation: held.operation, subject, why: reason(e) }, 'operation left before it began')
    }
  }

  /** Whatever else of the subject is under way is abandoned; the turn comes when that has let go. */
  function preEmpt(held: Held, { subject }: Work) {
    for (const { held: other } of entries.values()) {
      if (other !== held && other.work?.subject.id === subject.id)
        other.abandon('another operation has taken its place')
    }
  }

  function begin(ctx: Context, operation: string): Entry {
    const held = newHeld(operation)
    const noAnswer = deferred()
    const claimed = claim(deps, opened.promise, ctx, held, noAnswer.resolve)
    const ended = claimed
      .then(() => (held.work ? carry(held, held.work) : undefined))
      .finally(() => {
        entries.delete(operation)
        // Its next leg may be here as well, and was announced while this one ended.
        if (held.news && !stopping) run(ctx, operation)
      })
    const answered = Promise.race([claimed, noAnswer.promise])
    return { held, run: { claimed: answered, ended: Promise.race([ended, stopped.promise]) } }
  }

  function run(ctx: Context, operation: string): Run {
    const before = entries.get(operation)
    if (before) {
      before.held.notify()
      return before.run
    }
    if (stopping) return { claimed: Promise.resolve(), ended: Promise.resolve() }
    const entry = begin(ctx, operation)
    entries.set(operation, entry)
    return entry.run
  }

  return {
    open: opened.resolve,
    run,
    held: () => [...entries.values()].map(({ held }) => held).filter(({ work }) => work),
    async stop() {
      stopping = true
      await letGo(deps, entries)
      stopped.resolve()
    },
  }
}

/**
 * Whether others carry out legs of the operation at the same time, and each may wait for the other. Such a leg takes no slot:
 * hosts whose slots are full of legs that wait for one another would wait for ever.
 */
function meetsOthers({ operation: { kind, role, steps, undo } }: Work): boolean {
  if (undo || !(kind in operationKinds)) return false
  const stage = stagesOf(kind as OperationKind).find(({ legs }) =>
    legs.some((leg) => leg.at === role && leg.steps.some(({ name }) => name === steps[0])),
  )
  return stage !== undefined && stage.legs.length > 1
}

/** Has every operation left at its next step, and abandons those that do not come to one in time. */
async function letGo({ clock, log }: AgentDeps, entries: ReadonlyMap<string, Entry>): Promise<void> {
  for (const { held } of entries.values()) held.stopAfterStep('the daemon stops')
  const ended = async (ms: number): Promise<boolean> => {
    const enough = new AbortController()
    await Promise.race([Promise.all([...entries.values()].map(({ run }) => run.ended)), clock.sleep(ms, enough.signal)])
    enough.abort()
    return entries.size === 0
  }
  if (await ended(stopWithinMs)) return
  for (const { held } of entries.values()) held.abandon('the daemon stops')
  if (!(await ended(abandonWithinMs)))
    log.warn({ operations: [...entries.keys()] }, 'operations still running at shutdown; abandoned')
}

/** Gives the hold its work, if a leg is this host's to do. Never rejects. */
async function claim(
  deps: AgentDeps,
  opened: Promise<void>,
  ctx: Context,
  held: Held,
  onUnavailable: () => void,
): Promise<void> {
  const { agent, clock } = deps
  const log = deps.log.child({ operation: held.operation, requestId: ctx.requestId })
  try {
    await abortable(opened, held.waitSignal)
    const asked = () => {
      // What was announced before is heard with this.
      held.news = false
      return agent.claim(ctx, { ...speakerOf(deps), operation: held.operation })
    }
    // An answer that was lost must not cost a lease: the same life asks again, and hears the same.
    const work = await retryWhileUnavailable(deps, held.waitSignal, asked, (e) => {
      log.warn({ why: reason(e) }, 'no conductor to claim from; retrying')
      onUnavailable()
    })
    held.aheadMs = Math.max(0, clock.now() - work.operation.leaseUntil)
    held.work = work
  } catch (e) {
    if (isFailure(e, 'OperationLost')) log.debug({ why: e.message }, 'not claimed')
    // Its lease will lapse, and the conductor dispatch it again.
    else if (isUnavailable(e) || held.waitSignal.aborted) log.warn({ why: reason(e) }, 'could not claim')
    else log.error({ err: e }, 'claiming failed')
  }
}
