import type { Work } from '../contracts/agent.ts'

/** An operation in the hands of this process, and the ways to make it let go. */
export type Hand = {
  readonly operation: string
  /** What it is; undefined until it is claimed. */
  work: Work | undefined
  /** How much at least this host's clock is ahead of the conductor's: a lease that was just given cannot have lapsed. */
  aheadMs: number
  /** Waiting for a turn or for the conductor ends with this one. */
  readonly waits: AbortSignal
  /** The action under way ends with this one, where it can be ended. */
  readonly action: AbortSignal
  /** Aborted where it is to be left as it is, without undoing and without a word to the conductor. */
  readonly left: AbortSignal
  /** Ends it for a reason that the conductor will be told: cancelled, or past its deadline. */
  end(reason: Error): void
  /** Leaves it as it is, at once: it is another's now. */
  leave(why: string): void
  /** Leaves it at the next step; the action under way goes on. */
  halt(why: string): void
}

/** A hand that has just taken hold of an operation. */
export function newHand(operation: string): Hand {
  const waits = new AbortController()
  const action = new AbortController()
  const left = new AbortController()
  const halt = (why: string) => {
    const reason = new Error(`operation ${operation} is left as it is: ${why}`)
    left.abort(reason)
    waits.abort(reason)
    return reason
  }
  return {
    operation,
    work: undefined,
    aheadMs: 0,
    waits: waits.signal,
    action: action.signal,
    left: left.signal,
    end(reason) {
      waits.abort(reason)
      action.abort(reason)
    },
    leave: (why) => action.abort(halt(why)),
    halt,
  }
}
