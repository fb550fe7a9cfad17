import { fail } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { unresponsiveAfterMs } from '../../model/health.ts'
import type { Healthy } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/** Refuses everybody but administrators. `Forbidden`. */
export function onlyAdmins(ctx: Context, action: string): void {
  if (!ctx.isAdmin) fail('Forbidden', { what: `Only administrators ${action}.` })
}

/** How fresh a service's last word must be, now, and how long before it may not have heard itself. */
export const alive = ({ clock, options }: Pick<ConductorDeps, 'clock' | 'options'>): Healthy => ({
  now: clock.now(),
  downMs: options.serviceDownTime * 1000,
  silentMs: unresponsiveAfterMs(options.pingSeconds),
})

/** Rows of a list where nothing is said. */
export const pageDefault = 1000
