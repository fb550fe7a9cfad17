import type { Clock } from './clock.ts'
import { abortable } from './concurrency.ts'
import { type Code, isFailure } from './errors.ts'
import type { Ids } from './ids.ts'

const unavailableCodes: readonly Code[] = [
  'HostUnreachable',
  'BusDown',
  'BusBlocked',
  // A broker that is being reset refuses for a moment whom it lets in afterwards.
  'BusRefused',
  'BusConflict',
  'CallTimeout',
  'DatabaseDown',
]

/**
 * Whether the other side did not answer, as opposed to refusing: a daemon or a broker that restarts comes back by
 * itself. The request may still have been carried out.
 */
export const isUnavailable = (e: unknown): boolean => isFailure(e) && unavailableCodes.includes(e.code)

/**
 * Milliseconds to wait after the `n`-th failed attempt (from 0): 0.1 s, doubled up to 5 s, minus up to half at random,
 * so that not all clients retry at the same moment. `random` is in [0, 1).
 */
export const backoffMs = (n: number, random: number): number =>
  Math.min(5_000, 100 * 2 ** Math.min(n, 10)) * (1 - random / 2)

/** Repeats `ask` while the other side is unavailable, until it answers or refuses, or `signal` aborts. */
export async function retryWhileUnavailable<T>(
  { clock, ids }: { clock: Clock; ids: Ids },
  signal: AbortSignal,
  ask: () => Promise<T>,
  onUnavailable?: (e: unknown) => void,
): Promise<T> {
  for (let n = 0; ; n++) {
    signal.throwIfAborted()
    try {
      return await abortable(ask(), signal)
    } catch (e) {
      if (!isUnavailable(e)) throw e
      onUnavailable?.(e)
    }
    await clock.sleep(backoffMs(n, ids.random()), signal)
  }
}
