import { fail } from '../../base/errors.ts'
import type { Begun } from '../../contracts/conductor.ts'
import type { Context } from '../../model/context.ts'
import type { BootArgs } from '../../store/placement.ts'
import type { ConductorDeps } from '../deps.ts'
import { begin } from './begin.ts'
import { visibleOperation } from './cancel.ts'

/**
 * Does again what failed or was cancelled, as a new operation on the same instance. A boot that never came to a host is
 * placed anew, and no host is excluded any more; one that failed on its host goes on there, where its disk may be.
 */
export async function retry(deps: ConductorDeps, ctx: Context, id: string): Promise<Begun> {
  const operation = await visibleOperation(deps, ctx, id)
  const { state, kind, instanceId } = operation
  if (state === 'succeeded') fail('OperationNotOpen', { id, state, verb: 'retry' })
  const args = kind === 'boot' ? { ...(operation.args as BootArgs), excluded: [], faults: [] } : operation.args
  return begin(deps, ctx, { instanceId, kind, args, retryOf: id })
}
