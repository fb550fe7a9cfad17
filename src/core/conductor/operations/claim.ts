import { fail } from '../../base/errors.ts'
import type { agent, Work } from '../../contracts/agent.ts'
import type { Step } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { isOpen, kindOf } from '../../model/operation.ts'
import type { Args } from '../../rpc/contract.ts'
import { takeOperation } from '../../store/transitions.ts'
import { type Job, jobOf } from '../../store/work.ts'
import type { ConductorDeps } from '../deps.ts'
import { about, announce } from './change.ts'

/** How often a claim is looked at anew that somebody else has changed under us. */
const looks = 3

/**
 * Gives an operation to the host that asks for it, with everything that it needs. The same life of a daemon may ask
 * again and hears the same; a new life takes over from the step that was reached. `OperationLost` for everybody else.
 */
export async function claim(
  deps: ConductorDeps,
  _ctx: Context,
  { host, incarnation, operation: id }: Args<typeof agent, 'claim'>,
): Promise<Work> {
  const { db, clock, options } = deps
  for (let look = 1; ; look++) {
    const now = clock.now()
    const { instance, seen } = admit(id, await jobOf(db, id), { host, incarnation, now })
    const again = seen.state === 'running' && seen.incarnation === incarnation && seen.host === host
    const step = again && seen.step !== undefined ? seen.step : nextStep(seen)
    const attempt = again ? seen.attempt : seen.attempt + 1
    const steps = again ? seen.steps : [...seen.steps, { name: step, at: now, attempt, host }]
    const leaseUntil = now + options.leaseSeconds * 1000
    if (await takeOperation(db, { id, ...seen }, { host, incarnation, leaseUntil, attempt, step, steps })) {
      if (!again) announceStep(deps, { id, ...seen, instance }, { step, attempt, host, now })
      const { kind, requestId, deadline } = seen
      const { host: _, ...rest } = instance
      return {
        operation: { id, kind, step, attempt, requestId, deadline, leaseUntil },
        instance: rest,
        ...(seen.image === undefined ? {} : { image: seen.image }),
      }
    }
    if (look === looks) fail('OperationLost', { id, why: 'somebody else is taking it' })
  }
}

type Asking = { host: string; incarnation: string; now: number }
type Admitted = {
  instance: NonNullable<Job['instance']>
  seen: Omit<Job, 'state' | 'instance'> & { state: 'queued' | 'running' }
}

/** Whether this host may have it now. */
function admit(id: string, job: Job | undefined, { host, incarnation, now }: Asking): Admitted {
  const lost = (why: string): never => fail('OperationLost', { id, why })
  if (!job) return lost('there is no such operation')
  const { instance, state, ...rest } = job
  if (!isOpen(state)) return lost(`it has ${state}`)
  if (!instance) return lost('its instance is gone')
  if (instance.host !== host) return lost(`its instance is ${instance.host ? `on ${instance.host}` : 'on no host'}`)
  if (job.hostIncarnation !== incarnation) return lost(`host ${host} has a newer daemon`)
  if (job.deadline < now) return lost('its deadline has passed')
  return { instance, seen: { ...rest, state } }
}

/** The step to go on from: the one that was begun last, else the first that is a host's. */
function nextStep({ kind, step }: { kind: Job['kind']; step: string | undefined }): string {
  const steps = kindOf(kind).steps.filter((name) => name !== 'place')
  return step !== undefined && steps.includes(step) ? step : (steps[0] as string)
}

type Stepping = Pick<Job, 'kind' | 'requestId' | 'projectId'> & { id: string; instance: { id: string; name: string } }

/** Tells whoever follows the operation how far it is; steps are kept with the operation, not among the events. */
export function announceStep(
  deps: Pick<ConductorDeps, 'publish'>,
  { id, kind, requestId, projectId, instance }: Stepping,
  { step, attempt, host, now }: { step: string; attempt: number; host: string; now: number },
): void {
  announce(deps, {
    id: 0,
    ...about({ id, instanceId: instance.id, instanceName: instance.name, requestId, projectId }, now),
    type: 'operation.step',
    host,
    operation: { kind, state: 'running', step, attempt },
  })
}

/** The steps with one more, unless it is the one that was recorded last. */
export const withStep = (steps: readonly Step[], step: Step): Step[] => {
  const last = steps.at(-1)
  return last?.name === step.name && last.attempt === step.attempt ? [...steps] : [...steps, step]
}
