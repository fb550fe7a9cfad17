import { change } from '../../operations/change.ts'
import type { Transaction } from '../../operations/open.ts'
import type { ConductorDeps } from '../deps.ts'

/** Changes operations in one transaction; its events are published after the commit. `fn` may run several times. */
export const changeOperations = <T>(
  deps: Pick<ConductorDeps, 'db' | 'publish' | 'clock' | 'options'>,
  fn: (t: Transaction) => Promise<T>,
): Promise<T> =>
  change(deps, (db, note) =>
    fn({ db, note, now: deps.clock.now(), downMs: deps.options.serviceDownTime * 1000 }),
  )
