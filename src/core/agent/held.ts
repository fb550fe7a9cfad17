import type { Work } from '../contracts/agent.ts'
import type { Progress } from '../contracts/shapes.ts'

/** An operation that this process holds a leg of, and the ways to make it let go. */
export type Held = {
  readonly operation: string
  /** What the leg is; undefined until it is claimed. */
  work: Work | undefined
  /** How much at least this host's clock is ahead of the conductor's: a lease that was just given cannot have lapsed. */
  aheadMs: number
  /** How far the step under way has come; goes out with the heartbeats. */
  progress: Progress | undefined
  /** Its end is being told, or was: the conductor may know more than this host. */
  reporting: boolean
  /** Somebody has said that there is news of the operation: another leg for this host, or a result. */
  news: boolean
  /** Called when there is news. */
  onNews: () => void
  /** Waiting for a turn or for the conductor ends with this one. */
  readonly waitSignal: AbortSignal
  /** The step under way ends with this one, if it can be ended. */
  readonly stepSignal: AbortSignal
  /** Aborted if the leg is to be left as it is, without undoing and without a word to the conductor. */
  readonly abandonedSignal: AbortSignal
  /** Ends it for a reason that the conductor will be told: cancelled, or past its deadline. */
  cancel(reason: Error): void
  /** Leaves it as it is, at once: it is another's now. */
  abandon(why: string): void
  /** Leaves it at the next step; the step under way goes on. */
  stopAfterStep(why: string): void
  /** There is news of the operation. */
  notify(): void
}

/** A hold on an operation that was just announced. */
export function newHeld(operation: string): Held {
  const waits = new AbortController()
  const steps = new AbortController()
  const abandoned = new AbortController()
  const stopAfterStep = (why: string) => {
    const reason = new Error(`operation ${operation} is left as it is: ${why}`)
    abandoned.abort(reason)
    waits.abort(reason)
    return reason
  }
  const held: Held = {
    operation,
    work: undefined,
    aheadMs: 0,
    progress: undefined,
    reporting: false,
    news: false,
    onNews: () => undefined,
    waitSignal: waits.signal,
    stepSignal: steps.signal,
    abandonedSignal: abandoned.signal,
    cancel(reason) {
      waits.abort(reason)
      steps.abort(reason)
    },
    abandon: (why) => steps.abort(stopAfterStep(why)),
    stopAfterStep,
    notify() {
      held.news = true
      held.onNews()
    },
  }
  return held
}
