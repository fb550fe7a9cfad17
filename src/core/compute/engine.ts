import { abortable, deferred, type KeyedMutex, Semaphore } from '../base/concurrency.ts'
import { Failure, isFailure, reason } from '../base/errors.ts'
import { isUnavailable } from '../base/retry.ts'
import type { Work } from '../contracts/agent.ts'
import { type Context, serviceContext } from '../model/context.ts'
import { carryOut } from './carry.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import { type Hand, newHand } from './hand.ts'
import type { Tools } from './verbs/verb.ts'

/** How long actions under way may take to end when the daemon stops, and how long after they were told to. */
const stopPatienceMs = 4_000
const abortPatienceMs = 1_500

type EngineDeps = Pick<ComputeDeps, 'agent' | 'clock' | 'driver' | 'host' | 'ids' | 'incarnation' | 'log'> & {
  readonly options: Pick<ComputeDeps['options'], 'slots'>
}

/** An operation that was announced here. Neither promise rejects. */
type Run = {
  /** It is this host's now, or is not to be. */
  readonly claimed: Promise<void>
  /** It has ended here, however it ended, or was left behind by a daemon that stops. */
  readonly ended: Promise<void>
}

/** Carries out operations: at most one of an instance at a time, and each once, however often it is announced. */
export type Engine = {
  /** Lets in what {@link Engine.run} holds back until the conductor knows this life of the daemon. */
  open(): void
  /** Claims an operation and carries it out. One that is in hand already goes on as it does. */
  run(ctx: Context, operation: string): Run
  /** The operations whose leases are to be renewed. */
  inHand(): string[]
  /** The conductor says that it is not this host's any more. */
  lose(operation: string): void
  /** The conductor says that it is to end: at the next step, or at once where the action can be ended. */
  cancel(operation: string): void
  /** Claims no more; leaves what runs at its next step. Resolves in bounded time, even where an action hangs. */
  stop(): Promise<void>
}

type Held = { readonly hand: Hand; readonly run: Run }

/** An engine with nothing in hand. `turns` are the instances': who holds one's turn keeps its operations waiting. */
export function openEngine(deps: EngineDeps, tools: Tools, turns: KeyedMutex): Engine {
  const { clock, log } = deps
  const held = new Map<string, Held>()
  const door = deferred()
  const exit = deferred()
  const slots = new Semaphore(deps.options.slots)
  let stopping = false

  async function carry(hand: Hand, work: Work): Promise<void> {
    if (work.operation.kind === 'delete') preEmpt(hand, work)
    const { id } = work.instance
    try {
      // A cancelled one waits as well: its end is told when the one before it has let go of the guest.
      const release = await turns.acquire(id, hand.left)
      try {
        const free = await slots.acquire(hand.left)
        try {
          await carryOut(deps, tools, serviceContext('compute', work.operation.requestId), hand, work)
        } finally {
          free()
        }
      } finally {
        release()
      }
    } catch (e) {
      log.info({ operation: hand.operation, instance: id, why: reason(e) }, 'operation left before it began')
    }
  }

  /** Whatever else of the instance is under way lets go; the delete's turn comes when it has. */
  function preEmpt(hand: Hand, { instance }: Work) {
    for (const { hand: other } of held.values()) {
      if (other !== hand && other.work?.instance.id === instance.id) other.leave('the instance is to be deleted')
    }
  }

  function begin(ctx: Context, operation: string): Held {
    const hand = newHand(operation)
    const claimed = claim(deps, door.promise, ctx, hand)
    const ended = claimed
      .then(() => (hand.work ? carry(hand, hand.work) : undefined))
      .finally(() => held.delete(operation))
    return { hand, run: { claimed, ended: Promise.race([ended, exit.promise]) } }
  }

  return {
    open: door.resolve,
    run(ctx, operation) {
      const before = held.get(operation)
      if (before) return before.run
      if (stopping) return { claimed: Promise.resolve(), ended: Promise.resolve() }
      const mine = begin(ctx, operation)
      held.set(operation, mine)
      return mine.run
    },
    inHand: () => [...held.values()].filter(({ hand }) => hand.work).map(({ hand }) => hand.operation),
    lose: (operation) => held.get(operation)?.hand.leave('it is not this host’s any more'),
    cancel: (operation) => held.get(operation)?.hand.end(new Failure('OperationCancelled', { id: operation })),
    async stop() {
      stopping = true
      for (const { hand } of held.values()) hand.halt('the daemon stops')
      const ended = async (ms: number): Promise<boolean> => {
        const enough = new AbortController()
        await Promise.race([
          Promise.all([...held.values()].map(({ run }) => run.ended)),
          clock.sleep(ms, enough.signal),
        ])
        enough.abort()
        return held.size === 0
      }
      if (!(await ended(stopPatienceMs))) {
        for (const { hand } of held.values()) hand.leave('the daemon stops')
        if (!(await ended(abortPatienceMs))) log.warn({ operations: [...held.keys()] }, 'actions hang; left behind')
      }
      exit.resolve()
    },
  }
}

/** Gives the hand its work, where it is this host's to do. Never rejects. */
async function claim(deps: EngineDeps, open: Promise<void>, ctx: Context, hand: Hand): Promise<void> {
  const { agent, clock, log } = deps
  try {
    await abortable(open, hand.waits)
    const work = await abortable(agent.claim(ctx, { ...selfOf(deps), operation: hand.operation }), hand.waits)
    hand.aheadMs = Math.max(0, clock.now() - work.operation.leaseUntil)
    hand.work = work
  } catch (e) {
    const told = log.child({ operation: hand.operation, requestId: ctx.requestId })
    if (isFailure(e, 'OperationLost')) told.debug({ why: e.message }, 'not claimed')
    // The conductor sends it again when it is back.
    else if (isUnavailable(e) || hand.waits.aborted) told.warn({ why: reason(e) }, 'could not claim')
    else told.error({ err: e }, 'claiming failed')
  }
}
