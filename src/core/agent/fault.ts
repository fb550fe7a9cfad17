import { isFailure, RemoteError, reason } from '../base/errors.ts'
import type { Fault } from '../contracts/shapes.ts'
import type { AgentDeps } from './deps.ts'

/** What went wrong here, as it is kept and shown: failures of the world with their hint, bugs with their class. */
export function faultOf({ clock, host }: Pick<AgentDeps, 'clock' | 'host'>, e: unknown): Fault {
  const at = clock.now()
  if (isFailure(e)) {
    return { code: e.code, message: e.message, ...(e.hint === undefined ? {} : { hint: e.hint }), at, host }
  }
  if (e instanceof RemoteError) return { code: e.remoteClass, message: e.remoteMessage, at, host }
  return { code: e instanceof Error ? e.name : 'Error', message: reason(e), at, host }
}
