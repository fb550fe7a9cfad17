import { assert, fail } from '../../base/errors.ts'
import type { agent } from '../../contracts/agent.ts'
import type { Fault } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import type { PowerState } from '../../model/instance.ts'
import { isOpen } from '../../model/operation.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { noteHostFailure } from '../../store/hosts.ts'
import { findOperation, type OperationRecord } from '../../store/operations.ts'
import type { Owner } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { change } from './change.ts'
import { endOperation, type Outcome } from './end.ts'
import { faultOf, isOfTheHost } from './faults.ts'
import { observe } from './observe.ts'
import { goesElsewhere, reschedule } from './reschedule.ts'

/**
 * The end of an operation as its host tells it: as asked, taken back, or with a fault. A boot that failed for a reason of
 * the host's is tried on another. Said twice it is harmless; `OperationLost` where it is not this host's any more.
 */
export async function finish(
  deps: ConductorDeps,
  ctx: Context,
  { host, incarnation, operation: id, power, fault, cancelled }: Args<typeof agent, 'finish'>,
): Promise<Result<typeof agent, 'finish'>> {
  const owner = { host, incarnation }
  const operation = await findOperation(deps.db, id)
  if (!operation) return fail('OperationLost', { id, why: 'there is no such operation' })
  if (!isOpen(operation.state)) return tooLate(deps, ctx, operation, { ...owner, power })
  if (operation.host !== host || operation.incarnation !== incarnation)
    return fail('OperationLost', { id, why: `${operation.host ?? 'nobody'} has it now` })
  const now = deps.clock.now()
  const wrong = wrongWith(operation, { fault, cancelled, host, now })
  // Only when nothing of it is left there: an instance never has two running copies.
  if (wrong && !wrong.cancelled && power === 'NOSTATE' && goesElsewhere(deps, operation, wrong.fault, now)) {
    if (await reschedule(deps, ctx, operation, { owner, fault: wrong.fault })) return {}
  }
  const outcome: Outcome = wrong
    ? { state: wrong.cancelled ? 'cancelled' : 'failed', fault: wrong.fault, power }
    : { state: 'succeeded', power }
  const ended = await change(deps, async (db, note) => {
    const ended = await endOperation(db, note, operation, { outcome, by: owner, now })
    // Schedulers prefer other hosts for a while.
    if (ended && outcome.state === 'failed' && operation.kind === 'boot' && isOfTheHost(outcome.fault))
      await noteHostFailure(db, host, now)
    return ended
  })
  if (ended) return {}
  const current = await findOperation(deps.db, id)
  assert(current, 'operations are not removed while they are young')
  if (isOpen(current.state)) return fail('OperationLost', { id, why: `${current.host ?? 'nobody'} has it now` })
  return tooLate(deps, ctx, current, { ...owner, power })
}

/** It is over already: said twice, or ended over the host's head. What became of the guest is worth knowing all the same. */
async function tooLate(
  deps: ConductorDeps,
  ctx: Context,
  operation: OperationRecord,
  { host, incarnation, power }: Owner & { power: PowerState },
): Promise<Result<typeof agent, 'finish'>> {
  if (operation.host !== host)
    fail('OperationLost', { id: operation.id, why: `it has ${operation.state} on ${operation.host ?? 'no host'}` })
  if (operation.state !== 'succeeded')
    await observe(deps, ctx, { host, incarnation, changes: [{ id: operation.instanceId, power }] })
  return {}
}

type Reported = { fault: Fault | undefined; cancelled: boolean | undefined; host: string; now: number }

/** What went wrong, if something did; a host that found its operation cancelled may say so as a fault, too. */
function wrongWith(
  { id, step }: OperationRecord,
  { fault, cancelled, host, now }: Reported,
): { cancelled: boolean; fault: Fault } | undefined {
  if (cancelled || fault?.code === 'OperationCancelled') {
    const reported = fault ?? faultOf('OperationCancelled', { id, ...(step === undefined ? {} : { step }) }, now, host)
    return { cancelled: true, fault: { ...reported, host } }
  }
  return fault && { cancelled: false, fault: { ...fault, host: fault.host ?? host } }
}
