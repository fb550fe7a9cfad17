import { fail } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { unresponsiveAfterMs } from '../../model/health.ts'
import type { Scope } from '../../store/instances.ts'
import { findOperation, type OperationRecord } from '../../store/operations.ts'
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

/** What a caller sees: its project's, and everything if it is an administrator. */
export const scopeOf = (ctx: Context): Scope => ({ projectId: ctx.projectId, all: ctx.isAdmin })

/** The operation, if it is the caller's to see. `OperationNotFound`. */
export async function visibleOperation(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  id: string,
): Promise<OperationRecord> {
  const operation = await findOperation(db, id)
  const { projectId, all } = scopeOf(ctx)
  if (!operation || !(all || operation.projectId === projectId)) return fail('OperationNotFound', { id })
  return operation
}
