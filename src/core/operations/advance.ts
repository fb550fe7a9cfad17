import { assert } from '../base/errors.ts'
import type { Step } from '../contracts/shapes.ts'
import { type Leg as LegSpec, type Role, type Stage, serviceOf, stagesOf } from '../model/operation.ts'
import { allocationsOf } from '../store/allocations.ts'
import { addLegs, type Leg, queueLeg, restLeg } from '../store/legs.ts'
import { changeOperation } from '../store/operations.ts'
import { isServiceUp, servicesUp } from '../store/services.ts'
import { conductorSteps } from './conductor-steps.ts'
import { endOperation } from './end.ts'
import { type Dispatch, livenessOf, type OpenOperation, type Transaction } from './open.ts'

/**
 * Opens a stage of an operation, and the ones behind it for as long as nobody but the conductor has something to do; after
 * the last one the operation has succeeded. Answers with who is to be told after the commit. Part of a transaction that has
 * locked the operation.
 */
export async function openStage(t: Transaction, operation: OpenOperation, from: number): Promise<Dispatch[]> {
  const stages = stagesOf(operation.kind)
  for (let n = from; ; n++) {
    const stage = stages[n]
    if (!stage) {
      await endOperation(t, operation, { state: 'succeeded' })
      return []
    }
    const [first] = stage.legs
    if (first?.at === 'conductor') {
      await runConductorSteps(t, operation, first)
      continue
    }
    const opened = await openLegs(t, operation, stage)
    if (opened.length === 0) continue
    if (n !== operation.stage) await changeOperation(t.db, operation.id, { stage: n })
    operation.stage = n
    return opened
  }
}

/**
 * A host is down in a stage from which there is no way back: the operation goes on without it, and the host cleans up when
 * it returns. Answers with who is to be told after the commit. Part of a transaction that has locked the operation.
 */
export async function leaveLast(t: Transaction, operation: OpenOperation, host: string): Promise<Dispatch[]> {
  const leg = operation.legs.find((leg) => leg.host === host && leg.state !== 'idle')
  if (!leg) return []
  await restLeg(t.db, { operation: operation.id, service: leg.service, host })
  leg.state = 'idle'
  const open = operation.legs.some(({ state }) => state !== 'idle')
  return open ? [] : openStage(t, operation, operation.stage + 1)
}

async function runConductorSteps(t: Transaction, operation: OpenOperation, { steps }: LegSpec): Promise<void> {
  for (const { name } of steps) {
    await conductorSteps[name]?.run(t, operation)
    await keepStep(t, operation, { name, at: t.now, attempt: Math.max(operation.attempt, 1) })
  }
}

/** Keeps a step with the operation itself, because no leg of a host has it. */
export async function keepStep(t: Transaction, operation: OpenOperation, step: Step): Promise<void> {
  operation.steps = [...operation.steps, step]
  await changeOperation(t.db, operation.id, { steps: operation.steps })
}

async function openLegs(t: Transaction, operation: OpenOperation, stage: Stage): Promise<Dispatch[]> {
  const opened: Dispatch[] = []
  for (const { at } of stage.legs) {
    const service = serviceOf(at)
    for (const host of await hostsAt(t, operation, at)) {
      const key = { operation: operation.id, service, host }
      const known = operation.legs.find((leg) => leg.service === service && leg.host === host)
      if (known) {
        await queueLeg(t.db, key, 'queued', t.now)
        Object.assign(known, queued, { dispatchedAt: t.now })
      } else {
        await addLegs(t.db, [{ ...key, role: at }], t.now)
        operation.legs.push(newLeg(key, at, t.now))
      }
      opened.push(key)
    }
  }
  return opened
}

const queued = {
  state: 'queued',
  incarnation: undefined,
  leaseUntil: undefined,
  step: undefined,
  progress: undefined,
} as const

const newLeg = ({ service, host }: Dispatch, role: Role, now: number): Leg => ({
  service,
  host,
  role,
  ...queued,
  steps: [],
  attempt: 0,
  dispatchedAt: now,
})

/** The hosts that stand at a place of an operation; an empty name is any scheduler. */
async function hostsAt(t: Transaction, { legs, instance, kind }: OpenOperation, at: Role): Promise<string[]> {
  const taken = legs.filter((leg) => leg.role === at).map(({ host }) => host)
  switch (at) {
    case 'scheduler':
      return ['']
    case 'host':
    case 'source':
    case 'target': {
      const host = taken[0] ?? (at === 'target' ? undefined : instance?.host)
      assert(host !== undefined, `a ${kind} has no ${at}`)
      return [host]
    }
    case 'holders':
      return instance ? holdersOf(t, instance.id) : []
    case 'computes':
      return servicesUp(t.db, 'compute', livenessOf(t))
    case 'conductor':
      return []
  }
}

/**
 * The hosts that may hold something of an instance. One that only has a residue and is down does not hold up anybody: it
 * hears on its return that the instance is not its own.
 */
async function holdersOf(t: Transaction, instanceId: string): Promise<string[]> {
  const holders = new Set<string>()
  for (const { host, role } of await allocationsOf(t.db, instanceId))
    if (role !== 'residue' || (await isServiceUp(t.db, 'compute', host, livenessOf(t)))) holders.add(host)
  return [...holders]
}
