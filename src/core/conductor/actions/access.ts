import { fail } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import type { Liveness } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/** Refuses everybody but administrators. `Forbidden`. */
export function onlyAdmins(ctx: Context, deed: string): void {
  if (!ctx.isAdmin) fail('Forbidden', { what: `Only administrators ${deed}.` })
}

/** How fresh a service's last word must be, now. */
export const alive = ({ clock, options }: Pick<ConductorDeps, 'clock' | 'options'>): Liveness => ({
  now: clock.now(),
  downMs: options.serviceDownSeconds * 1000,
})

/** Rows of a list where nothing is said. */
export const pageDefault = 1000
