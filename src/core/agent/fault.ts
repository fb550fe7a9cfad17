import { isFailure, RemoteError, reason } from '../base/errors.ts'
import { cutFault, type Fault } from '../contracts/shapes.ts'
import type { AgentDeps } from './deps.ts'

/** What went wrong here, as it is kept and shown: failures of the world with their hint, bugs with their class. */
export function faultOf({ clock, host }: Pick<AgentDeps, 'clock' | 'host'>, e: unknown): Fault {
  return cutFault({ ...wordsOf(e), at: clock.now(), host })
}

function wordsOf(e: unknown): Pick<Fault, 'code' | 'message' | 'hint'> {
  if (isFailure(e)) return { code: e.code, message: e.message, ...(e.hint === undefined ? {} : { hint: e.hint }) }
  if (e instanceof RemoteError) return { code: e.remoteClass, message: e.remoteMessage }
  return { code: e instanceof Error ? e.name : 'Error', message: reason(e) }
}
