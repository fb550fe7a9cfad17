import { fail } from '../../base/errors.ts'
import type { agent } from '../../contracts/agent.ts'
import type { Context } from '../../model/context.ts'
import { kindOf } from '../../model/operation.ts'
import { dispatchAll } from '../../operations/dispatch.ts'
import { lockOpen } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { type Owner, recordStep } from '../../store/held-legs.ts'
import { legsOfOperation } from '../../store/legs.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import { changeOperation, findOperation } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { announceStep } from './claim.ts'

/**
 * Records that an executor has come to a step, before the step is taken, and renews its lease. A result goes to the other
 * executors of the operation. `OperationCancelled` if the operation is to be ended; `OperationLost` if it is not this host's
 * any more.
 */
export async function step(
  deps: ConductorDeps,
  ctx: Context,
  { operation: id, step: name, attempt, undo = false, result, ...owner }: Args<typeof agent, 'step'>,
): Promise<Result<typeof agent, 'step'>> {
  const { db, clock, options } = deps
  const operation = await deps.knownOperations.find(db, id)
  if (!operation) return fail('OperationLost', { id, why: 'there is no such operation' })
  if (!kindOf(operation.kind).steps.some((spec) => spec.name === name))
    fail('InvalidRequest', { what: `A ${operation.kind} has no step "${name}".` })
  const now = clock.now()
  const leaseUntil = now + options.leaseSeconds * 1000
  const entry = { name, at: now, attempt, host: owner.host, ...(undo ? { undo } : {}) }
  const key = { operation: id, ...owner }
  if (!(await recordStep(db, key, { step: entry, undo, leaseUntil }))) return refuse(deps, id, owner)
  announceStep(deps, operation, { step: name, attempt, host: owner.host, undo, now })
  if (result !== undefined) await share(deps, ctx, id, owner, result)
  return { leaseUntil }
}

/** Keeps what a step has found out, and tells the other executors that there is news. */
async function share(
  deps: ConductorDeps,
  ctx: Context,
  id: string,
  owner: Owner,
  result: OperationRecord['results'],
): Promise<void> {
  const others = await changeOperations(deps, async ({ db }) => {
    const operation = await lockOpen(db, id)
    if (!operation) return []
    await changeOperation(db, id, { results: { ...operation.results, ...result } })
    return operation.legs.filter(({ host, state }) => host !== owner.host && state === 'running')
  })
  await dispatchAll(
    deps,
    ctx,
    others.map(({ service, host }) => ({ operation: id, service, host })),
  )
}

/** Why the step was not recorded. */
async function refuse({ db }: ConductorDeps, id: string, { service, host, incarnation }: Owner): Promise<never> {
  const [operation, legs] = await Promise.all([findOperation(db, id), legsOfOperation(db, id)])
  const leg = legs.find((leg) => leg.service === service && leg.host === host)
  const lost = (why: string): never => fail('OperationLost', { id, why })
  if (operation?.state !== 'running') return lost(`it has ${operation?.state ?? 'been removed'}`)
  if (!leg || leg.state === 'idle') return lost(`${host} has no part in it now`)
  if (leg.incarnation !== incarnation) return lost(`another life of ${host} has it now`)
  if (operation.cancelRequested || operation.undoing)
    return fail('OperationCancelled', { id, ...(leg.step === undefined ? {} : { step: leg.step }) })
  return lost('it was changed at the same moment')
}
