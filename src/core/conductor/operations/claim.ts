import { fail } from '../../base/errors.ts'
import type { agent, Work } from '../../contracts/agent.ts'
import type { Context } from '../../model/context.ts'
import { isOpen, stagesOf } from '../../model/operation.ts'
import { about, announce } from '../../operations/change.ts'
import { dispatchAll } from '../../operations/dispatch.ts'
import { lockOpen } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import { stepsToUndo, stopLeg } from '../../operations/undo.ts'
import type { Args } from '../../rpc/contract.ts'
import { type Owner, takeLeg } from '../../store/held-legs.ts'
import type { Leg, LegKey } from '../../store/legs.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import { changeOperation } from '../../store/operations.ts'
import { type Job, jobOf } from '../../store/work.ts'
import type { ConductorDeps } from '../deps.ts'
import type { KnownOperation } from './known.ts'

/** How often a claim looks again at an operation that somebody else has just changed. */
const looks = 3

/**
 * Gives a leg of an operation to the host that asks for it, with everything that it needs. The same life of a daemon may
 * ask again and hears what is new; a new life takes over from the step that was reached. `OperationLost` for everybody else.
 */
export async function claim(
  deps: ConductorDeps,
  ctx: Context,
  { operation: id, ...owner }: Args<typeof agent, 'claim'>,
): Promise<Work> {
  const { db, clock, options } = deps
  const key = { operation: id, service: owner.service, host: owner.host }
  for (let look = 1; ; look++) {
    const now = clock.now()
    const job = admit(id, await jobOf(db, key), owner, now)
    const { operation, leg } = job
    const forward = leg.state === 'queued' || leg.state === 'running'
    if (forward && (operation.undoing || operation.cancelRequested) && leg.incarnation !== owner.incarnation) {
      await stop(deps, ctx, key)
      if (look === looks) fail('OperationLost', { id, why: 'it is to be ended' })
      continue
    }
    const again = leg.incarnation === owner.incarnation && (leg.state === 'running' || leg.state === 'undo-running')
    const undo = leg.state.startsWith('undo')
    const steps = stepsFrom(operation, leg)
    const attempt = again ? leg.attempt : leg.attempt + 1
    const step = {
      name: steps[0] as string,
      at: now,
      attempt: operation.attempt + attempt,
      host: owner.host,
      ...(undo ? { undo } : {}),
    }
    const leaseUntil = now + options.leaseSeconds * 1000
    const taken = { incarnation: owner.incarnation, leaseUntil, attempt, step, isNew: !again || leg.step === undefined }
    if (await takeLeg(db, key, leg, taken)) {
      if (operation.state === 'queued') await changeOperation(db, id, { state: 'running', host: owner.host })
      deps.knownOperations.record(operation)
      if (!again) announceStep(deps, operation, { step: step.name, attempt: step.attempt, host: owner.host, undo, now })
      return workOf(job, { steps, undo, attempt: step.attempt, leaseUntil })
    }
    if (look === looks) fail('OperationLost', { id, why: 'somebody else is taking it' })
  }
}

/** The leg is not to go forward any more. */
async function stop(deps: ConductorDeps, ctx: Context, { operation: id, service, host }: LegKey): Promise<void> {
  const dispatches = await changeOperations(deps, async (t) => {
    const operation = await lockOpen(t.db, id)
    const leg = operation?.legs.find((leg) => leg.service === service && leg.host === host)
    if (!operation || !leg || leg.state.startsWith('undo') || leg.state === 'idle') return []
    return stopLeg(t, operation, leg, deps.options.maxAttempts)
  })
  await dispatchAll(
    deps,
    ctx,
    dispatches.filter((message) => message.host !== host),
  )
}

type Admitted = Job & { leg: Leg }

/** Whether this host may have it now. */
function admit(id: string, job: Job | undefined, { service, host, incarnation }: Owner, now: number): Admitted {
  const lost = (why: string): never => fail('OperationLost', { id, why })
  if (!job) return lost('there is no such operation')
  const { operation, leg } = job
  if (!isOpen(operation.state)) return lost(`it has ${operation.state}`)
  if (!leg) return lost(`${service} on ${host} has no part in it`)
  if (leg.state === 'idle') return lost(`${host} has done its part`)
  if (job.incarnation !== incarnation) return lost(`host ${host} has a newer daemon`)
  if (operation.deadline < now) return lost('its deadline has passed')
  return { ...job, leg }
}

/** The steps to take, from the one that was begun last; or to undo. */
function stepsFrom(operation: OperationRecord, leg: Leg): string[] {
  const steps = leg.state.startsWith('undo')
    ? stepsToUndo(operation, leg)
    : (stagesOf(operation.kind)[operation.stage]?.legs.find(({ at }) => at === leg.role)?.steps ?? []).map(
        ({ name }) => name,
      )
  const from = leg.step === undefined ? 0 : steps.indexOf(leg.step)
  if (steps.length === 0) fail('OperationLost', { id: operation.id, why: 'nothing is left to do' })
  return steps.slice(Math.max(from, 0))
}

function workOf(
  { operation, leg, instance, image }: Admitted,
  { steps, undo, attempt, leaseUntil }: { steps: string[]; undo: boolean; attempt: number; leaseUntil: number },
): Work {
  const { id, kind, requestId, deadline, args, results, subject, before } = operation
  const { host: _, ...rest } = instance ?? {}
  return {
    operation: {
      id,
      kind,
      role: leg.role,
      steps,
      undo,
      attempt,
      requestId,
      deadline,
      leaseUntil,
      args: args as Record<string, unknown>,
      results,
    },
    subject,
    ...(instance === undefined
      ? {}
      : { instance: { ...(rest as NonNullable<Work['instance']>), before: before ?? 'BUILD' } }),
    ...(image === undefined ? {} : { image }),
  }
}

/** Tells whoever follows the operation how far it is; steps are kept with the operation, not among the events. */
export function announceStep(
  deps: Pick<ConductorDeps, 'publish'>,
  operation: KnownOperation,
  { step, attempt, host, undo, now }: { step: string; attempt: number; host: string; undo: boolean; now: number },
): void {
  announce(deps, {
    id: 0,
    ...about(operation, now),
    type: 'operation.step',
    host,
    operation: {
      kind: operation.kind,
      state: 'running',
      step,
      attempt,
      ...(undo ? { undoing: true } : {}),
    },
  })
}
