import { abortable, deferred } from './patience.ts'

/** Gives back what was taken. */
export type Release = () => void

/** One at a time for each key, first come, first served. */
export type Turns = {
  /** Waits for the turn; rejects with the signal's reason where that aborts first. */
  take(key: string, signal?: AbortSignal): Promise<Release>
  /** Takes the turn only where it is free at this moment. */
  takeFree(key: string): Release | undefined
}

/** Turns in the memory of this process. */
export function newTurns(): Turns {
  const last = new Map<string, Promise<void>>()

  /** Stands in line: when the turn comes, and how to leave the line, before or after that. */
  const queue = (key: string): { turn: Promise<void>; release: Release } => {
    const turn = last.get(key) ?? Promise.resolve()
    const mine = deferred()
    const over = turn.then(() => mine.passed)
    last.set(key, over)
    void over.then(() => {
      if (last.get(key) === over) last.delete(key)
    })
    return { turn, release: mine.open }
  }

  return {
    async take(key, signal) {
      const { turn, release } = queue(key)
      try {
        await (signal ? abortable(turn, signal) : turn)
        return release
      } catch (e) {
        release()
        throw e
      }
    },
    takeFree: (key) => (last.has(key) ? undefined : queue(key).release),
  }
}

/** At most `count` at once, first come, first served. */
export function newSlots(count: number): { take(signal: AbortSignal): Promise<Release> } {
  let free = count
  const line: Array<() => void> = []
  const give = () => {
    const next = line.shift()
    if (next) next()
    else free++
  }
  return {
    async take(signal) {
      signal.throwIfAborted()
      if (free > 0) {
        free--
        return give
      }
      const turn = deferred()
      line.push(turn.open)
      try {
        await abortable(turn.passed, signal)
        return give
      } catch (e) {
        const at = line.indexOf(turn.open)
        // Not in line any more: the slot came in the same moment, so it is handed on.
        if (at >= 0) line.splice(at, 1)
        else give()
        throw e
      }
    },
  }
}
