import { Failure, reason } from '../base/errors.ts'

/** How often a conflict is met, with what it interrupts repeated each time, before the database counts as unavailable. */
export const attemptsMax = 20

/** How long to wait after the `attempt`-th conflict (from 1). */
export const pauseMs = (attempt: number): number => Math.min(2 ** attempt, 50)

/** Who asked hears of a database that can do nothing for it now: a conflict that does not end is no bug of the caller. */
export const stillInTheWay = (e: unknown, attempts: number): Failure<'DatabaseDown'> =>
  new Failure('DatabaseDown', { why: `others were in the way ${attempts} times in a row: ${reason(e)}` }, e)
