import { permits } from '../../auth/policy.ts'
import { fail } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { unresponsiveAfterMs } from '../../model/health.ts'
import type { Scope } from '../../store/instances.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import { findOperation } from '../../store/operations.ts'
import type { Healthy } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/** In whose things a caller's names and ids are looked up: its project's, and all others' if it is an administrator. */
export const scopeOf = (ctx: Context): Scope => ({
  projectId: ctx.projectId,
  all: permits(ctx, 'os_compute_api:servers:index:get_all_tenants'),
})

/** Whose records a caller's lists show: its project's; undefined, which is everybody's, if it is an administrator. */
export const projectOf = (ctx: Context): string | undefined => (scopeOf(ctx).all ? undefined : ctx.projectId)

/** How fresh a service's last word must be, now, and how long before it may not have heard itself. */
export const alive = ({ clock, options }: Pick<ConductorDeps, 'clock' | 'options'>): Healthy => ({
  now: clock.now(),
  downMs: options.serviceDownTime * 1000,
  silentMs: unresponsiveAfterMs(options.pingSeconds),
})

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
