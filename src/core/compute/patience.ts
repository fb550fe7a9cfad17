import { isUnavailable } from '../base/away.ts'
import { backoffMs } from '../base/backoff.ts'
import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'

/** The promise's outcome, or a rejection with the signal's reason, whichever comes first. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Asks again and again while the other side is away, until it answers or `signal` aborts. */
export async function retryWhileUnavailable<T>(
  { clock, ids }: { clock: Clock; ids: Ids },
  signal: AbortSignal,
  ask: () => Promise<T>,
  onAway?: (e: unknown) => void,
): Promise<T> {
  for (let n = 0; ; n++) {
    signal.throwIfAborted()
    try {
      return await abortable(ask(), signal)
    } catch (e) {
      if (!isUnavailable(e)) throw e
      onAway?.(e)
    }
    await clock.sleep(backoffMs(n, ids.random()), signal)
  }
}

/** Shut until it is opened, once and for all. */
export function deferred(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = () => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open }
}
