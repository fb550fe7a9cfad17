import { fail } from '../../base/errors.ts'
import type { Begun } from '../../contracts/conductor.ts'
import { instanceOf } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { visibleOperation } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'
import { begin } from './begin.ts'

/**
 * Repeats an operation that failed or was cancelled, with the same resolved arguments, as a new operation on the same
 * instance. One that is placed is placed from the start, and no host is excluded any more.
 */
export async function retry(deps: ConductorDeps, ctx: Context, id: string): Promise<Begun> {
  const { state, kind, subject, args, placing } = await visibleOperation(deps, ctx, id)
  if (state === 'succeeded') fail('OperationNotOpen', { id, state, verb: 'retry' })
  const instance = instanceOf(subject)
  if (!instance)
    fail('InvalidRequest', { what: `A ${kind} is not repeated by this command.`, hint: 'Ask for it again.' })
  return begin(deps, ctx, {
    instanceId: instance.id,
    kind,
    args,
    placing: placing && { ...placing, excluded: [], faults: [] },
    retryOf: id,
  })
}
