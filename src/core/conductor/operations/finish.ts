import { fail } from '../../base/errors.ts'
import { hintFor } from '../../base/fault-texts.ts'
import type { agent } from '../../contracts/agent.ts'
import { type Fault, type Instance, instanceOf } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { isOpen, stagesOf } from '../../model/operation.ts'
import { openStage } from '../../operations/advance.ts'
import { about, ofFault } from '../../operations/change.ts'
import { dispatchAll } from '../../operations/dispatch.ts'
import { faultOf } from '../../operations/faults.ts'
import { type Dispatch, lockOpen, type OpenOperation, type Transaction } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import {
  continueUndo,
  failOperation,
  leaveSilentLeg,
  legStopped,
  stepsToUndo,
  type Undoing,
} from '../../operations/undo.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { release, residueOn } from '../../store/allocations.ts'
import { idleLeg, type Owner } from '../../store/held-legs.ts'
import { settleInstance } from '../../store/instances.ts'
import type { Leg } from '../../store/legs.ts'
import { findOperation } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { observe } from './observe.ts'

type Finish = Args<typeof agent, 'finish'>

/**
 * The end of a leg as its host tells it: done, undone, cancelled, or with a fault. Hands the operation over to whoever is
 * next, or ends it; in the transaction that records it. Said twice it is harmless; `OperationLost` if the leg is not this
 * host's any more.
 */
export async function finish(
  deps: ConductorDeps,
  ctx: Context,
  report: Finish,
): Promise<Result<typeof agent, 'finish'>> {
  const { operation: id, service, host, incarnation, power } = report
  const owner: Owner = { service, host, incarnation }
  const next = await changeOperations(deps, async (t): Promise<Undoing | undefined> => {
    const operation = await lockOpen(t.db, id)
    const leg = operation?.legs.find((leg) => leg.service === service && leg.host === host)
    if (!operation || !leg) return undefined
    const holds = leg.incarnation === incarnation && (leg.state === 'running' || leg.state === 'undo-running')
    // Its answer was lost: the leg is done, or waits for its next turn.
    if (!holds && leg.state === 'idle') return { dispatches: [], undo: [] }
    if (!holds)
      fail('OperationLost', { id, why: `${leg.incarnation ? 'another life of the host' : 'nobody'} has it now` })
    const news = seePower(operation, leg, power)
    const next = await finishLeg(deps, t, operation, { leg, owner, report })
    // The end of an operation writes the power itself.
    if (news && isOpen(operation.state)) await settleInstance(t.db, news.id, { power: news.power }, t.now)
    return next
  })
  if (!next) return tooLate(deps, ctx, report)
  await dispatchAll(deps, ctx, next.dispatches)
  return next.undo.length > 0 ? { undo: next.undo } : {}
}

type Finishing = { leg: Leg; owner: Owner; report: Finish }

async function finishLeg(
  { options: { maxAttempts: attempts } }: ConductorDeps,
  t: Transaction,
  operation: OpenOperation,
  { leg, owner, report }: Finishing,
): Promise<Undoing> {
  if (leg.state === 'undo-running') {
    // The answer to the first time was lost.
    if (!report.undone) return { dispatches: [], undo: stepsToUndo(operation, leg) }
    if (report.fault) return { undo: [], dispatches: await leaveSilentLeg(t, operation, leg, attempts) }
    await idleLeg(t.db, { operation: operation.id, ...owner })
    leg.state = 'idle'
    return { undo: [], dispatches: await continueUndo(t, operation, attempts) }
  }
  if (operation.undoing) return legStopped(t, operation, leg, owner, attempts)
  const wrong = wrongWith(operation, leg, report, t.now)
  const stage = stagesOf(operation.kind)[operation.stage]
  if (wrong && !stage?.final) return failOperation(t, operation, wrong, { reporter: owner, attempts })
  if (wrong) emitLeft(t, operation, wrong)
  leg.state = 'idle'
  // What a host has cleaned up it holds no more.
  if (stage?.final && !wrong && operation.instance)
    await release(t.db, await residueOn(t.db, leg.host, [operation.instance.id]))
  const dispatches = operation.legs.some(({ state }) => state !== 'idle') ? [] : await goOn(t, operation, attempts)
  // The legs of an operation that is over are gone, and one that has more to do is queued already.
  if (isOpen(operation.state) && leg.state === 'idle') await idleLeg(t.db, { operation: operation.id, ...owner })
  return { undo: [], dispatches }
}

/** The stage is over: the next one, unless somebody wants the operation cancelled and there is more to do. */
async function goOn(t: Transaction, operation: OpenOperation, attempts: number): Promise<Dispatch[]> {
  const { id, kind, stage, cancelRequested } = operation
  const next = stagesOf(kind)[stage + 1]
  if (!cancelRequested || !next || next.final) return openStage(t, operation, stage + 1)
  return (await failOperation(t, operation, faultOf('OperationCancelled', { id }, t.now), { attempts })).dispatches
}

/** What the host of an instance has just seen of its guest; answers with the instance if that is news. */
function seePower({ instance }: OpenOperation, leg: Leg, power: Finish['power']): Instance | undefined {
  if (!instance || power === undefined || instance.host !== leg.host || instance.power === power) return undefined
  instance.power = power
  return instance
}

/** The operation is as good as done, but its host could not do the last of it. */
function emitLeft(t: Transaction, operation: OpenOperation, fault: Fault): void {
  t.emit({
    ...about(operation, t.now),
    type: 'operation.left',
    ...(fault.host === undefined ? {} : { host: fault.host }),
    ...ofFault(fault),
  })
}

/** It is over already: report twice, or ended over the host's head. What became of the guest is worth knowing all the same. */
async function tooLate(
  deps: ConductorDeps,
  ctx: Context,
  { operation: id, host, incarnation, power }: Finish,
): Promise<Result<typeof agent, 'finish'>> {
  const operation = await findOperation(deps.db, id)
  if (!operation) return fail('OperationLost', { id, why: 'there is no such operation' })
  if (isOpen(operation.state)) fail('OperationLost', { id, why: `${host} has no part in it now` })
  if (operation.steps.every((step) => step.host !== host) && operation.host !== host)
    fail('OperationLost', { id, why: `it has ${operation.state} on ${operation.host ?? 'no host'}` })
  const instance = instanceOf(operation.subject)
  if (operation.state !== 'succeeded' && power !== undefined && instance)
    await observe(deps, ctx, { host, incarnation, changes: [{ id: instance.id, power }] })
  return {}
}

/** What went wrong, if something did; a host that found its operation cancelled may say so as a fault, too. */
function wrongWith(
  { id, subject: { name } }: OpenOperation,
  leg: Leg,
  { fault, cancelled, host }: Finish,
  now: number,
): Fault | undefined {
  if (!cancelled && fault?.code !== 'OperationCancelled') {
    if (!fault) return undefined
    // What people are told to do is never a host's word.
    const { hint: _, ...told } = fault
    const hint = hintFor(fault.code, { id, name })
    return { ...told, ...(hint === undefined ? {} : { hint }), host }
  }
  const { step } = leg
  return { ...(fault ?? faultOf('OperationCancelled', { id, ...(step === undefined ? {} : { step }) }, now)), host }
}
