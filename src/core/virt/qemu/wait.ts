import type { Clock } from '../../base/clock.ts'

/** Waits for `event`, `ms` at most. True if it came in time; rejects with the signal's reason if the signal aborts. */
export async function within(clock: Clock, ms: number, event: Promise<void>, signal?: AbortSignal): Promise<boolean> {
  const enough = new AbortController()
  const limit = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal
  try {
    const came = await Promise.race([event.then(() => true), clock.sleep(ms, limit).then(() => false)])
    if (!came) signal?.throwIfAborted()
    return came
  } finally {
    enough.abort()
  }
}
