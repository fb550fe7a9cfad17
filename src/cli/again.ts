import type { Clock } from '../core/base/clock.ts'
import { type Code, isFailure } from '../core/base/errors.ts'
import type { Ids } from '../core/base/ids.ts'
import { backoffMs } from '../core/base/retry.ts'

/** Failures that may pass by themselves, and what a person is told meanwhile. */
const passing: Readonly<Partial<Record<Code, string>>> = {
  DatabaseDown: 'waiting for the database …',
  CallTimeout: 'waiting for an answer …',
  BusDown: 'waiting for the bus …',
}
/** How long a question is repeated after its first unclear answer, in ms: databases and brokers change over in less. */
const repeatedForMs = 10_000

/** Whether a request may come twice: it only reads, or a key lets the conductor know it again. */
export const mayRepeat = ({ reads }: { reads?: true }, args: object): boolean =>
  reads === true || ('idempotencyKey' in args && args.idempotencyKey !== undefined)

/**
 * Asks again while the answer leaves open what became of the question, for ten seconds and not beyond `until`; then fails
 * with the first failure. `ask` has the ms that are left, undefined at the first time. `onWait` is told what is waited for.
 */
export async function askAgain<T>(
  { clock, ids, until = Number.POSITIVE_INFINITY }: { clock: Clock; ids: Ids; until?: number | undefined },
  ask: (leftMs: number | undefined) => Promise<T>,
  onWait: (what: string) => Promise<void>,
): Promise<T> {
  let first: { failure: unknown; until: number } | undefined
  for (let n = 0; ; n++) {
    try {
      return await ask(first && first.until - clock.now())
    } catch (e) {
      const what = isFailure(e) ? passing[e.code] : undefined
      if (what === undefined) throw e
      first ??= { failure: e, until: Math.min(clock.now() + repeatedForMs, until) }
      const waitMs = backoffMs(n, ids.random())
      if (clock.now() + waitMs >= first.until) throw first.failure
      await onWait(what)
      await clock.sleep(waitMs)
    }
  }
}
