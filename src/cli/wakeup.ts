import type { Clock } from '../core/base/clock.ts'

/** Something to sleep on until somebody rings. */
export function openWakeup(clock: Clock) {
  let rung = false
  let wake = (): void => undefined
  return {
    notify(): void {
      rung = true
      wake()
    },
    /** True where it rang, also before; false after `ms`. */
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

/** Resolves when somebody gives up; never where nobody can. */
export const aborted = (signal: AbortSignal | undefined): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal?.aborted) resolve(undefined)
    signal?.addEventListener('abort', () => resolve(undefined))
  })
