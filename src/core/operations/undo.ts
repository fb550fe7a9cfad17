import type { Fault } from '../contracts/shapes.ts'
import { kindOf, type Leg as LegSpec, placedBy, placeFilled, stagesOf } from '../model/operation.ts'
import { type Allocation, allocationsOf, changeRole, release } from '../store/allocations.ts'
import { type Owner, turnLeg } from '../store/held-legs.ts'
import { recordHostFailure } from '../store/hosts.ts'
import { settleInstance } from '../store/instances.ts'
import { addLegs, type Leg, queueLeg, removeLeg, restLeg } from '../store/legs.ts'
import { changeOperation } from '../store/operations.ts'
import { isServiceUp } from '../store/services.ts'
import { keepStep } from './advance.ts'
import { about, ofFault } from './change.ts'
import { conductorSteps } from './conductor-steps.ts'
import { endOperation } from './end.ts'
import { faultOf, isOfTheHost } from './faults.ts'
import { type Dispatch, livenessOf, type OpenOperation, type Transaction } from './open.ts'

/** How long a host has to undo its part of a stage, in ms; one that takes longer, or is down, is left behind. */
const undoMs = 120_000

/** What is owed after the commit; `undo`: what the reporter is to undo itself, now. */
export type Undoing = { dispatches: Dispatch[]; undo: string[] }

/**
 * An operation has failed, or is to be cancelled: what was done is undone, stage by stage, the last one first; then it ends
 * with this fault, or is placed on another host if its kind says so. `reporter` holds a leg of it, and goes on with undoing
 * its own part. `attempts`: the hosts that a placed kind is tried on. Part of a transaction that has locked the operation.
 */
export async function failOperation(
  t: Transaction,
  operation: OpenOperation,
  fault: Fault,
  { reporter, attempts }: { reporter?: Owner | undefined; attempts: number },
): Promise<Undoing> {
  operation.undoing = true
  operation.fault = fault
  operation.deadline = Math.max(operation.deadline, t.now + undoMs)
  await changeOperation(t.db, operation.id, { undoing: true, fault, deadline: operation.deadline })
  const undo = await stopLegs(t, operation, reporter)
  return { undo, dispatches: undo.length > 0 ? [] : await continueUndo(t, operation, attempts) }
}

/**
 * Ends the way forward of all legs: one that has left something goes on with undoing it if it is the reporter's, or if its
 * holder will hear of it; any other rests.
 */
async function stopLegs(t: Transaction, operation: OpenOperation, reporter: Owner | undefined): Promise<string[]> {
  let own: string[] = []
  for (const leg of operation.legs) {
    if (leg.state === 'idle') continue
    const isReporter = reporter !== undefined && leg.service === reporter.service && leg.host === reporter.host
    const left = leg.state === 'queued' ? [] : stepsToUndo(operation, leg)
    if (isReporter && reporter && left.length > 0) {
      await turnLeg(t.db, { ...keyOf(operation, leg), incarnation: reporter.incarnation })
      leg.state = 'undo-running'
      own = left
    } else if (isReporter || left.length === 0) await rest(t, operation, leg)
    // Any other that runs hears at its next step or heartbeat that it is to stop, and reports then.
    else if (!(await isUp(t, leg))) await leaveBehind(t, operation, leg)
  }
  return own
}

/**
 * A new life of a host asks for a leg that is not to go forward any more: its executor died before it heard so. What it has
 * left is undone like that of any other. Answers with who is to be told after the commit.
 */
export async function stopLeg(
  t: Transaction,
  operation: OpenOperation,
  leg: Leg,
  attempts: number,
): Promise<Dispatch[]> {
  await rest(t, operation, leg)
  if (operation.undoing) return continueUndo(t, operation, attempts)
  const { id } = operation
  const fault = faultOf('OperationCancelled', { id, ...(leg.step === undefined ? {} : { step: leg.step }) }, t.now)
  return (await failOperation(t, operation, fault, { attempts })).dispatches
}

/** A leg that was going forward while the operation is being undone has stopped: answers with what it is to undo itself. */
export async function legStopped(
  t: Transaction,
  operation: OpenOperation,
  leg: Leg,
  owner: Owner,
  attempts: number,
): Promise<Undoing> {
  const undo = stepsToUndo(operation, leg)
  if (undo.length > 0) {
    await turnLeg(t.db, { ...keyOf(operation, leg), incarnation: owner.incarnation })
    leg.state = 'undo-running'
    return { undo, dispatches: [] }
  }
  await rest(t, operation, leg)
  return { undo: [], dispatches: await continueUndo(t, operation, attempts) }
}

/** Goes on with undoing once no leg is open: this stage, then the ones before it; answers with who is to be told. */
export async function continueUndo(t: Transaction, operation: OpenOperation, attempts: number): Promise<Dispatch[]> {
  if (operation.legs.some(({ state }) => state !== 'idle')) return []
  if (operation.fenced) return over(t, operation, attempts)
  const stages = stagesOf(operation.kind)
  for (let n = operation.stage; n >= 0; n--) {
    const [first] = stages[n]?.legs ?? []
    if (first?.at === 'conductor') await undoConductorSteps(t, operation, first)
    else if (first?.at === 'scheduler') await undoPlace(t, operation)
    else {
      const opened = await openUndo(t, operation, n)
      if (opened.length > 0) return opened
      if (operation.fenced) break
    }
  }
  return over(t, operation, attempts)
}

async function openUndo(t: Transaction, operation: OpenOperation, stage: number): Promise<Dispatch[]> {
  operation.stage = stage
  const deadline = Math.max(operation.deadline, t.now + undoMs)
  const opened: Dispatch[] = []
  for (const leg of [...operation.legs]) {
    if (stepsToUndo(operation, leg).length === 0) continue
    if (!(await isUp(t, leg))) {
      await leaveBehind(t, operation, leg)
      continue
    }
    await queueLeg(t.db, keyOf(operation, leg), 'undo-queued', t.now)
    leg.state = 'undo-queued'
    opened.push(keyOf(operation, leg))
  }
  if (opened.length > 0) await changeOperation(t.db, operation.id, { stage, deadline })
  return opened
}

/** The steps of the open stage that an executor has come to and that leave something, the last one first. */
export function stepsToUndo({ kind, stage }: Pick<OpenOperation, 'kind' | 'stage'>, leg: Leg): string[] {
  const spec = stagesOf(kind)[stage]?.legs.find(({ at }) => at === leg.role)
  if (!spec) return []
  const reached = new Set(leg.steps.filter(({ undo }) => !undo).map(({ name }) => name))
  const undone = new Set(leg.steps.filter(({ undo }) => undo).map(({ name }) => name))
  const open = leg.state === 'undo-running' || leg.state === 'undo-queued'
  return spec.steps
    .filter(({ name, undo }) => undo && reached.has(name) && (open || !undone.has(name)))
    .map(({ name }) => name)
    .reverse()
}

async function undoConductorSteps(t: Transaction, operation: OpenOperation, { steps }: LegSpec): Promise<void> {
  for (const { name, undo } of [...steps].reverse()) {
    const entries = operation.steps.filter((step) => step.name === name)
    if (!undo || entries.length === 0 || entries.some((step) => step.undo)) continue
    await conductorSteps[name]?.undo?.(t, operation)
    await keepStep(t, operation, { name, at: t.now, attempt: Math.max(operation.attempt, 1), undo: true })
  }
}

/** The room on the host that was chosen is free again; an instance that was on its way there is on no host. */
async function undoPlace(t: Transaction, operation: OpenOperation): Promise<void> {
  const { kind, instance } = operation
  const role = placeFilled(kind)
  const leg = operation.legs.find((leg) => leg.role === role)
  // Left behind: what it may still have is its own to clean up, and the room stays taken until then.
  if (!leg || !instance) return
  await freePlace(t, operation, leg.host)
  if (role === 'host') {
    await settleInstance(t.db, instance.id, { host: null, power: 'NOSTATE' }, t.now)
    delete instance.host
    instance.power = 'NOSTATE'
  }
}

async function freePlace(t: Transaction, { kind, instance }: OpenOperation, host: string): Promise<void> {
  if (!instance) return
  const role: Allocation['role'] = placeFilled(kind) === 'host' ? 'current' : 'target'
  const held = await allocationsOf(t.db, instance.id)
  await release(
    t.db,
    held.filter((allocation) => allocation.host === host && allocation.role === role),
  )
}

/**
 * Gives a place back on which nobody has begun yet, and opens the schedulers' stage once more: the host that was chosen is
 * silent. False if the host has begun. Part of a transaction that has locked the operation.
 */
export async function unplace(t: Transaction, operation: OpenOperation, host: string): Promise<boolean> {
  const stage = placedBy(operation.kind)
  const leg = operation.legs.find((leg) => leg.host === host && leg.role === placeFilled(operation.kind))
  if (stage === undefined || leg?.state !== 'queued' || leg.attempt > 0 || operation.stage !== stage + 1) return false
  await undoPlace(t, operation)
  await removeLeg(t.db, keyOf(operation, leg))
  await addLegs(t.db, [{ operation: operation.id, service: 'scheduler', host: '', role: 'scheduler' }], t.now)
  // Once for each host: it may have been told, and ask for what was its own a moment ago.
  const known = operation.steps.some((step) => step.host === host)
  await changeOperation(t.db, operation.id, { stage, ...(known ? {} : { steps: [...operation.steps, ...leg.steps] }) })
  return true
}

/** All is undone that could be. */
async function over(t: Transaction, operation: OpenOperation, attempts: number): Promise<Dispatch[]> {
  const { fault } = operation
  if (!fault) return []
  if (goesElsewhere(operation, fault, attempts)) return placeElsewhere(t, operation, fault)
  if (fault.host !== undefined && placedBy(operation.kind) !== undefined && isOfTheHost(fault))
    await recordHostFailure(t.db, fault.host, t.now)
  const state = fault.code === 'OperationCancelled' ? 'cancelled' : 'failed'
  await endOperation(t, operation, { state, fault })
  return []
}

/** Whether an operation that failed with this is placed again: only if nothing of it is left on the host. */
function goesElsewhere(operation: OpenOperation, fault: Fault, attempts: number): boolean {
  const { kind, placing, instance, cancelRequested } = operation
  if (!kindOf(kind).retryElsewhere || !placing || placing.forced !== undefined || cancelRequested) return false
  if (instance?.host !== undefined || fault.host === undefined || !isOfTheHost(fault)) return false
  return placing.excluded.length + 1 < attempts
}

async function placeElsewhere(t: Transaction, operation: OpenOperation, fault: Fault): Promise<Dispatch[]> {
  const { db, now } = t
  const host = fault.host as string
  const before = operation.placing ?? { excluded: [], faults: [] }
  const placing = { ...before, excluded: [...before.excluded, host], faults: [...before.faults, fault] }
  // The steps of hosts that are out of it stay with the operation.
  const steps = [...operation.steps, ...operation.legs.flatMap((leg) => leg.steps)].sort((a, b) => a.at - b.at)
  const attempt = Math.max(operation.attempt, ...operation.legs.map((leg) => leg.attempt))
  for (const leg of operation.legs) await removeLeg(db, keyOf(operation, leg))
  await addLegs(db, [{ operation: operation.id, service: 'scheduler', host: '', role: 'scheduler' }], now)
  await changeOperation(db, operation.id, { undoing: false, stage: 0, placing, steps, attempt })
  await recordHostFailure(db, host, now)
  t.emit({
    ...about(operation, now),
    type: `${operation.subject.kind}.${kindOf(operation.kind).event}.retry`,
    host,
    ...ofFault(fault),
    operation: { kind: operation.kind, state: 'queued', step: 'place', attempt, fault },
  })
  return [{ operation: operation.id, service: 'scheduler', host: '' }]
}

/**
 * A host that does not undo its part is left behind: what it may still have is residue, which it cleans up when it returns;
 * its room stays taken until then.
 */
async function leaveBehind(t: Transaction, operation: OpenOperation, leg: Leg): Promise<void> {
  const { instance } = operation
  const left = stepsToUndo(operation, { ...leg, state: 'undo-queued' })
  const fences = kindOf(operation.kind).steps.filter(({ fence }) => fence)
  if (fences.some(({ name }) => left.includes(name))) operation.fenced = true
  operation.steps = [...operation.steps, ...leg.steps].sort((a, b) => a.at - b.at)
  operation.attempt = Math.max(operation.attempt, leg.attempt)
  operation.legs = operation.legs.filter((other) => other !== leg)
  await removeLeg(t.db, keyOf(operation, leg))
  if (instance && instance.host !== leg.host) await changeRole(t.db, instance.id, leg.host, 'residue')
  const fault = operation.fault && {
    ...operation.fault,
    message: `${operation.fault.message.replace(/\.$/, '')}. Not undone on ${leg.host}.`,
  }
  operation.fault = fault
  await changeOperation(t.db, operation.id, {
    steps: operation.steps,
    attempt: operation.attempt,
    ...(fault === undefined ? {} : { fault }),
  })
}

/** The time for undoing is over: whoever has not done it is left behind, and the rest goes on. */
export async function leaveSilent(t: Transaction, operation: OpenOperation, attempts: number): Promise<Dispatch[]> {
  for (const leg of [...operation.legs]) if (leg.state !== 'idle') await leaveBehind(t, operation, leg)
  return continueUndo(t, operation, attempts)
}

/** The host could not undo its part: it is left behind, and the rest goes on. */
export async function leaveSilentLeg(
  t: Transaction,
  operation: OpenOperation,
  leg: Leg,
  attempts: number,
): Promise<Dispatch[]> {
  await leaveBehind(t, operation, leg)
  return continueUndo(t, operation, attempts)
}

async function rest(t: Transaction, operation: OpenOperation, leg: Leg): Promise<void> {
  await restLeg(t.db, keyOf(operation, leg))
  leg.state = 'idle'
}

const isUp = (t: Transaction, leg: Leg): Promise<boolean> =>
  isServiceUp(t.db, leg.service, leg.host === '' ? undefined : leg.host, livenessOf(t))

const keyOf = ({ id }: Pick<OpenOperation, 'id'>, { service, host }: Leg): Dispatch => ({
  operation: id,
  service,
  host,
})
