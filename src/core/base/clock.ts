import { setMaxListeners } from 'node:events'

/** The system's time. Handed in, so that a test or a simulator can control it. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls `fn` once after `ms`; the returned function cancels the call. Does not keep the process alive. */
  after(ms: number, fn: () => void): () => void
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Milliseconds that Node can count in one timer: 24.8 days. */
const timerMax = 2 ** 31 - 1

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn) {
    // A longer timer would fire at once: it is set in parts.
    let timer: NodeJS.Timeout
    const wait = (left: number) => {
      timer = setTimeout(left > timerMax ? () => wait(left - timerMax) : fn, Math.min(left, timerMax))
      timer.unref()
    }
    wait(ms)
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
      if (!signal) return
      // As many may sleep on the end of one daemon as it has work: Node takes more than ten for a leak, and says so.
      setMaxListeners(0, signal)
      signal.addEventListener('abort', done)
    }),
}

/**
 * Runs `fn` at once and then `ms` after each run has ended, until stopped; the error of a failed run goes to `onError`
 * and does not end the series. The returned function stops the series and resolves when the current run has ended.
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
