import type { Clock } from '../core/base/clock.ts'

/** Something to sleep on until it is notified. */
export function openWakeup(clock: Clock) {
  let rung = false
  let wake = (): void => undefined
  return {
    notify(): void {
      rung = true
      wake()
    },
    /** True if it was notified, also before the call; false after `ms`. */
    async wait(ms: number): Promise<boolean> {
      if (!rung) {
        const woken = new AbortController()
        wake = () => woken.abort()
        await clock.sleep(Math.max(ms, 0), woken.signal)
        wake = () => undefined
      }
      const was = rung
      rung = false
      return was
    },
  }
}

/** Resolves when the signal aborts; never if there is no signal. */
export const aborted = (signal: AbortSignal | undefined): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal?.aborted) resolve(undefined)
    signal?.addEventListener('abort', () => resolve(undefined))
  })
