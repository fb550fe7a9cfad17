/** Releases what was acquired. Calling it twice is a mistake of the caller. */
export type Release = () => void

/** A promise, and the functions that settle it once. */
export function deferred(): {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (e: unknown) => void
} {
  let resolve = () => {}
  let reject: (e: unknown) => void = () => {}
  const promise = new Promise<void>((done, fail) => {
    resolve = done
    reject = fail
  })
  return { promise, resolve, reject }
}

/** The promise's outcome, or a rejection with the signal's reason, whichever comes first. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** One holder at a time for each key, first come, first served, in the memory of this process. */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<void>>()

  /** Waits for the key; rejects with the signal's reason if that aborts first. */
  async acquire(key: string, signal?: AbortSignal): Promise<Release> {
    const { turn, release } = this.#queue(key)
    try {
      await (signal ? abortable(turn, signal) : turn)
      return release
    } catch (e) {
      release()
      throw e
    }
  }

  /** Takes the key only if nobody holds it or waits for it at this moment. */
  tryAcquire(key: string): Release | undefined {
    return this.#last.has(key) ? undefined : this.#queue(key).release
  }

  #queue(key: string): { turn: Promise<void>; release: Release } {
    const turn = this.#last.get(key) ?? Promise.resolve()
    const mine = deferred()
    const over = turn.then(() => mine.promise)
    this.#last.set(key, over)
    void over.then(() => {
      if (this.#last.get(key) === over) this.#last.delete(key)
    })
    return { turn, release: mine.resolve }
  }
}

/** At most `count` holders at once, first come, first served. */
export class Semaphore {
  #free: number
  readonly #waiting: Array<() => void> = []

  constructor(count: number) {
    this.#free = count
  }

  /** Waits for a place; rejects with the signal's reason if that aborts first. */
  async acquire(signal?: AbortSignal): Promise<Release> {
    signal?.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return this.#release
    }
    const turn = deferred()
    this.#waiting.push(turn.resolve)
    try {
      await (signal ? abortable(turn.promise, signal) : turn.promise)
      return this.#release
    } catch (e) {
      const at = this.#waiting.indexOf(turn.resolve)
      // Nobody waits any more: the permit came in the same moment, so the next in line gets it.
      if (at >= 0) this.#waiting.splice(at, 1)
      else this.#release()
      throw e
    }
  }

  readonly #release = (): void => {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

/**
 * Runs `work` on every item, at most `limit` concurrently, and returns the results in the order of the items. The first
 * failure rejects the whole; no item is started after it.
 */
export async function mapConcurrent<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    try {
      for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!, i)
    } finally {
      next = items.length
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  return results
}
