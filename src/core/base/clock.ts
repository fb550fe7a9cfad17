/** Time as the system sees it. Handed in, so that a test or a simulator owns it. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls `fn` once after `ms`; the returned function takes it back. Does not keep the process alive. */
  after(ms: number, fn: () => void): () => void
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done)
    }),
}

/**
 * Runs `fn` at once and then `ms` after each run has ended, until stopped; a failing run is handed to `onError` and does
 * not end the series. The returned function stops it and resolves when a run under way is over.
 */
export function every(
  clock: Clock,
  ms: number,
  fn: () => Promise<void>,
  onError: (e: unknown) => void,
): () => Promise<void> {
  const stop = new AbortController()
  const loop = async () => {
    while (!stop.signal.aborted) {
      try {
        await fn()
      } catch (e) {
        onError(e)
      }
      await clock.sleep(ms, stop.signal)
    }
  }
  const running = loop()
  return () => {
    stop.abort()
    return running
  }
}
