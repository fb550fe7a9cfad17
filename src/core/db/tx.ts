import { isFailure } from '../base/errors.ts'
import { attemptsMax, pauseMs, stillInTheWay } from './conflict.ts'
import { isConflict } from './dialect.ts'
import { type Db, withSetting } from './handle.ts'

/**
 * Runs `fn` in one transaction or, inside a transaction, as a part of it. `fn` may run several times: it is repeated if
 * another transaction conflicted (deadlock, lock wait), so it must change nothing but rows. `DatabaseDown` if the
 * connection is lost, or others were in the way too often; then nothing was committed, unless it was lost during the commit.
 */
export async function tx<T>(db: Db, fn: (db: Db) => Promise<T>): Promise<T> {
  if (db.isTransaction) return fn(db)
  for (let attempt = 1; ; attempt += 1) {
    let begun = false
    try {
      return await db.transaction().execute((bare) => {
        begun = true
        return fn(withSetting(bare, db))
      })
    } catch (e) {
      // A pooled connection may have died while it was idle: nothing has been done yet, so a fresh one is tried once.
      const stale = !begun && attempt === 1 && db.dialect === 'mysql' && isFailure(e, 'DatabaseDown')
      if (!stale && !isConflict(e)) throw e
      if (attempt === attemptsMax) throw stillInTheWay(e, attempt)
      db.log.debug({ attempt, err: e }, 'transaction conflict: retrying')
    }
    await db.clock.sleep(pauseMs(attempt))
  }
}
