import type { Clock } from '../base/clock.ts'
import { type ChangeDeps, change } from './change.ts'
import type { Transaction } from './open.ts'

/** What changing operations leans on. */
export type OperationDeps = ChangeDeps & {
  readonly clock: Clock
  /** Seconds that a service may be silent before it counts as down. */
  readonly options: { readonly serviceDownTime: number }
}

/** Changes operations in one transaction; its events are published after the commit. `fn` may run several times. */
export const changeOperations = <T>(deps: OperationDeps, fn: (t: Transaction) => Promise<T>): Promise<T> =>
  change(deps, (db, emit) => fn({ db, emit, now: deps.clock.now(), downMs: deps.options.serviceDownTime * 1000 }))
