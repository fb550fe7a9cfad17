import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Clock } from '../../../src/core/base/clock.ts'
import { Failure, fail } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import type { agent, Work } from '../../../src/core/contracts/agent.ts'
import type { computeAgent } from '../../../src/core/contracts/compute-agent.ts'
import type { Results } from '../../../src/core/contracts/kinds.ts'
import type { Fault, ImagePart, Progress } from '../../../src/core/contracts/shapes.ts'
import type { PowerState } from '../../../src/core/model/instance.ts'
import { deadlineMs, kindOf, type OperationKind, type Role, stagesOf } from '../../../src/core/model/operation.ts'
import type { Api, Args } from '../../../src/core/rpc/contract.ts'

type Agent = Api<typeof agent>
type ComputeAgent = Api<typeof computeAgent>
export type Method = keyof Agent | keyof ComputeAgent
type Said<M extends Method> = M extends keyof Agent
  ? Args<typeof agent, M>
  : M extends keyof ComputeAgent
    ? Args<typeof computeAgent, M>
    : never

/** A step as it was recorded; `undo`: its undoing. */
type Recorded = { name: string; host?: string; undo?: boolean }

/** A host's part in an operation. */
export type Leg = {
  host: string
  role: Role
  state: 'queued' | 'running' | 'undo-queued' | 'undo-running' | 'idle'
  owner: string | undefined
  leaseUntil: number
  /** Where a host goes on. */
  step: string | undefined
  attempt: number
  progress: Progress | undefined
}

export type Row = {
  id: string
  kind: OperationKind
  instance: string
  before: string
  state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  stage: number
  legs: Leg[]
  recorded: Recorded[]
  deadline: number
  cancelRequested: boolean
  undoing: boolean
  results: Results
  /** The power that was told last. */
  power: PowerState | undefined
  fault: Fault | undefined
  /** What a host said that it could not undo. */
  notUndone: Fault | undefined
}

export type Known = { id: string; state: string; power: PowerState; generation: number; host: string }

/** The cards of every instance here. */
export const nics = [{ id: systemIds.uuid(), mac: 'fa:16:3e:00:00:01' }]

const isOpen = (row: Row): boolean => row.state === 'queued' || row.state === 'running'
const undoMs = 120_000

/** A conductor in memory that keeps the rules of the hosts' contracts: who may claim, what is lost, who is next, what is undone. */
export class StandIn {
  readonly operations = new Map<string, Row>()
  readonly instances = new Map<string, Known>()
  /** Instances that were deleted, and what hosts may still have of others: `<host> <instance>`. */
  readonly deleted = new Set<string>()
  readonly residue = new Set<string>()
  readonly files = new Map<ImagePart, Buffer>()
  /** All that was said, in order, with what it was said of. */
  readonly said: Array<{ method: Method; args: unknown }> = []
  /** Throws what the caller is to see: before anything is done, or after, where only the answer is lost. */
  trouble: (method: Method, when: 'before' | 'after', host: string | undefined) => Error | undefined = () => undefined
  /** Who hears that a leg waits, by host. */
  readonly hosts = new Map<string, (operation: string) => void>()
  /** Changes the work that a claim answers with. */
  amend: (work: Work) => Work = (work) => work
  readonly hostIds = new Map<string, string>()
  readonly imageId = systemIds.uuid()
  readonly #clock: Clock
  readonly #events = new EventEmitter().setMaxListeners(0)
  readonly #lives = new Map<string, string>()
  readonly #leaseMs: number

  constructor(clock: Clock, leaseMs = 30_000) {
    this.#clock = clock
    this.#leaseMs = leaseMs
    this.files.set('disk', Buffer.from('a disk'))
  }

  newInstance(power: PowerState = 'NOSTATE', state = 'BUILD', host = 'h1'): string {
    const id = systemIds.uuid()
    this.instances.set(id, { id, state, power, generation: 1, host })
    return id
  }

  /** Begins an operation, placed on `target` if its kind is placed; nobody is told. */
  begin(
    kind: OperationKind,
    instance: string,
    { deadline = deadlineMs(kind, { diskGb: 1 }), target = 'h2' }: { deadline?: number; target?: string } = {},
  ): string {
    const id = systemIds.uuid()
    if (kindOf(kind).preempts)
      for (const row of this.operations.values())
        if (row.instance === instance && isOpen(row)) this.#over(row, 'cancelled')
    const row: Row = {
      id,
      kind,
      instance,
      before: this.instances.get(instance)?.state ?? 'BUILD',
      state: 'queued',
      stage: 0,
      legs: [],
      recorded: [],
      deadline: this.#clock.now() + deadline,
      cancelRequested: false,
      undoing: false,
      results: {},
      power: undefined,
      fault: undefined,
      notUndone: undefined,
    }
    this.operations.set(id, row)
    const placed = stagesOf(kind)[0]?.legs[0]?.at === 'scheduler'
    if (placed) row.recorded.push({ name: 'place' })
    const next = stagesOf(kind)[placed ? 1 : 0]?.legs[0]?.at
    if (placed && next === 'target') this.#legOf(row, 'target', target)
    this.#open(row, placed ? 1 : 0)
    return id
  }

  row(id: string): Row {
    return this.operations.get(id)!
  }

  leg(id: string, host = 'h1'): Leg {
    return this.row(id).legs.find((leg) => leg.host === host)!
  }

  /** The steps that were recorded, in order; `undone`: those that were undone. */
  steps = (id: string): string[] => this.#names(id, false)
  undone = (id: string): string[] => this.#names(id, true)
  #names = (id: string, undone: boolean) =>
    this.row(id)
      .recorded.filter(({ undo = false }) => undo === undone)
      .map(({ name }) => name)

  /** An earlier life of the host has come to the last of these steps. */
  reached(id: string, steps: readonly string[], { host = 'h1', owner }: { host?: string; owner?: string } = {}): void {
    const row = this.row(id)
    row.recorded.push(...steps.map((name) => ({ name, host })))
    Object.assign(this.leg(id, host), { state: 'running', step: steps.at(-1), owner, leaseUntil: 0, attempt: 1 })
    row.state = 'running'
  }

  /** Tells the hosts whose turn it is. */
  dispatch(id: string): void {
    for (const { host, state } of this.row(id).legs) if (state !== 'idle') this.hosts.get(host)?.(id)
  }

  cancel(id: string): void {
    this.row(id).cancelRequested = true
  }

  /** Resolves when the operation is over. */
  async over(id: string): Promise<Row> {
    await this.until(() => !isOpen(this.row(id)))
    return this.row(id)
  }

  /** Resolves when something was said and this is so. */
  async until(so: () => boolean): Promise<void> {
    while (!so()) await new Promise((resolve) => this.#events.once('change', resolve))
  }

  /** Resolves when the method has been said `times` times since the beginning. */
  heard(method: Method, times = 1): Promise<void> {
    return this.until(() => this.saidOf(method).length >= times)
  }

  saidOf<M extends Method>(method: M): Said<M>[] {
    return this.said.filter((s) => s.method === method).map((s) => s.args as Said<M>)
  }

  image(): NonNullable<Work['image']> {
    const files: NonNullable<Work['image']>['files'] = {}
    for (const [part, bytes] of this.files) {
      files[part] = { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    }
    return { id: this.imageId, name: 'tiny', diskFormat: 'qcow2', files }
  }

  #listen<M extends Method>(method: M, answer: (args: Said<M>) => unknown) {
    return async (_: unknown, args: Said<M>): Promise<unknown> => {
      await undefined
      const { host } = args as { host?: string }
      const before = this.trouble(method, 'before', host)
      if (before) throw before
      this.said.push({ method, args })
      let result: unknown
      try {
        result = answer(args)
      } finally {
        this.#events.emit('change')
      }
      const after = this.trouble(method, 'after', host)
      if (after) throw after
      return result
    }
  }

  /** What the services of a host speak to. */
  agent(): Agent {
    return {
      hello: this.#listen('hello', (args) => this.#hello(args)),
      heartbeat: this.#listen('heartbeat', (args) => this.#heartbeat(args)),
      claim: this.#listen('claim', (args) => this.#claim(args)),
      step: this.#listen('step', (args) => this.#step(args)),
      finish: this.#listen('finish', (args) => this.#finish(args)),
      bye: this.#listen('bye', ({ incarnation }) => {
        for (const { legs } of this.operations.values())
          for (const leg of legs) if (leg.owner === incarnation) leg.leaseUntil = 0
        return {}
      }),
    } as Agent
  }

  /** What a compute host speaks to beside that. */
  computeAgent(): ComputeAgent {
    return {
      join: this.#listen('join', (args) => this.#join(args)),
      report: this.#listen('report', () => ({})),
      removed: this.#listen('removed', ({ host, instances }) => {
        for (const id of instances) this.residue.delete(`${host} ${id}`)
        return {}
      }),
      power: this.#listen('power', (args) => this.#power(args)),
      imageRead: this.#listen('imageRead', ({ part, offset, length }) => ({
        data: this.files
          .get(part)!
          .subarray(offset, offset + length)
          .toString('base64'),
      })),
    } as ComputeAgent
  }

  #hello({ hostId, incarnation, host }: Said<'hello'>) {
    const known = this.hostIds.get(host) ?? hostId
    this.hostIds.set(host, known)
    if (hostId !== known) fail('HostMismatch', { host, known, presented: hostId })
    this.#lives.set(host, incarnation)
    const mine = (row: Row) => isOpen(row) && row.legs.some((leg) => leg.host === host && leg.state !== 'idle')
    return { operations: [...this.operations.values()].filter(mine).map((row) => row.id) }
  }

  #join({ host, guests }: Said<'join'>) {
    const all = [...this.instances.values()]
    const ids = [...guests.map(({ id }) => id), ...all.map(({ id }) => id), ...this.deleted]
    const remove = [...new Set(ids)].filter((id) => {
      const known = this.instances.get(id)
      if (this.#busy().has(id) || known?.host === host) return false
      const here = guests.some((guest) => guest.id === id)
      return this.residue.has(`${host} ${id}`) || (here && (known !== undefined || this.deleted.has(id)))
    })
    const instances = all.filter((instance) => instance.host === host)
    return { instances: instances.map(({ host: _, state: status, ...rest }) => ({ ...rest, status })), remove }
  }

  #heartbeat({ host, incarnation, operations }: Said<'heartbeat'>) {
    const leaseUntil = this.#clock.now() + this.#leaseMs
    const lost: string[] = []
    const cancelled: string[] = []
    for (const { id, progress } of operations) {
      const leg = this.#held(id, host, incarnation)
      if (!leg) lost.push(id)
      else {
        Object.assign(leg, { leaseUntil, progress })
        const { cancelRequested, undoing } = this.row(id)
        if (leg.state === 'running' && (cancelRequested || undoing)) cancelled.push(id)
      }
    }
    return { lost, cancelled, leaseUntil }
  }

  #claim({ host, incarnation, operation }: Said<'claim'>): Work {
    const lost = (why: string): never => fail('OperationLost', { id: operation, why })
    if (!this.#lives.has(host)) this.#lives.set(host, incarnation)
    const row = this.operations.get(operation)
    const leg = row?.legs.find((one) => one.host === host && one.state !== 'idle')
    if (!row || !isOpen(row) || !leg) return lost('it is over, or has nothing to do here')
    const now = this.#clock.now()
    if (row.deadline < now) return lost('its deadline has passed')
    const again = leg.owner === incarnation && leg.state.endsWith('running')
    const taken = leg.owner !== undefined && leg.owner !== incarnation && leg.leaseUntil >= now
    if (taken && leg.owner === this.#lives.get(host)) return lost('another life has it')
    const undo = leg.state.startsWith('undo')
    const spec = stagesOf(row.kind)[row.stage]?.legs.find(({ at }) => at === leg.role)
    const all = undo ? this.#toUndo(row, leg) : (spec?.steps.map(({ name }) => name) ?? [])
    const steps = all.slice(Math.max(0, leg.step === undefined ? 0 : all.indexOf(leg.step)))
    if (leg.step !== steps[0]) row.recorded.push({ name: steps[0]!, host, ...(undo ? { undo } : {}) })
    if (!again) leg.attempt++
    const leaseUntil = now + this.#leaseMs
    Object.assign(leg, { state: undo ? 'undo-running' : 'running', owner: incarnation, leaseUntil, step: steps[0] })
    row.state = 'running'
    const { id, kind, deadline, results, instance, before } = row
    return this.amend({
      operation: {
        ...{ id, kind, role: leg.role, steps, undo, attempt: leg.attempt, requestId: 'req-1', deadline, leaseUntil },
        args: this.#argsOf(kind),
        results: structuredClone(results),
      },
      subject: { kind: kindOf(kind).subject, id: instance, name: 'web' },
      ...(kindOf(kind).subject === 'instance'
        ? {
            instance: {
              id: instance,
              name: 'web',
              before,
              size: { vcpus: 1, memoryMb: 64, diskGb: 1 },
              metadata: {},
              generation: this.instances.get(instance)?.generation ?? 1,
              nics,
            },
          }
        : {}),
      ...(this.files.size > 0 ? { image: this.image() } : {}),
    })
  }

  #argsOf(kind: OperationKind): Record<string, unknown> {
    if (kind === 'boot') return { image: this.imageId, flavor: 'tiny' }
    if (kind === 'delete-image') return { checksums: Object.values(this.image().files).map(({ sha256 }) => sha256) }
    return {}
  }

  #step({ host, incarnation, operation, step, undo = false, result }: Said<'step'>) {
    const { row, leg } = this.#owned(operation, host, incarnation)
    const forward = leg.state === 'running'
    if (forward && (row.cancelRequested || row.undoing)) fail('OperationCancelled', { id: operation, step })
    if (forward === undo) fail('OperationLost', { id: operation, why: 'it is the other way round' })
    if (leg.step !== step) row.recorded.push({ name: step, host, ...(undo ? { undo } : {}) })
    leg.step = step
    leg.leaseUntil = this.#clock.now() + this.#leaseMs
    if (result) {
      row.results = { ...row.results, ...result }
      for (const other of row.legs)
        if (other !== leg && other.state === 'running') this.hosts.get(other.host)?.(operation)
    }
    return { leaseUntil: leg.leaseUntil }
  }

  #finish({ host, incarnation, operation, power, fault, cancelled, undone }: Said<'finish'>): { undo?: string[] } {
    const known = this.operations.get(operation)
    const part = known?.legs.find((leg) => leg.host === host)
    if (known && part && (!isOpen(known) || part.state === 'idle')) return {}
    const { row, leg } = this.#owned(operation, host, incarnation)
    row.power = power
    const instance = this.instances.get(row.instance)
    if (instance?.host === host && power !== undefined) instance.power = power
    if (leg.state === 'undo-running') {
      if (!undone) return { undo: this.#toUndo(row, leg) }
      if (fault) {
        row.notUndone = fault
        this.residue.add(`${host} ${row.instance}`)
        row.legs = row.legs.filter((other) => other !== leg)
      } else this.#rest(leg)
      this.#undoOn(row)
      return {}
    }
    if (row.undoing) return this.#stopped(row, leg)
    const final = stagesOf(row.kind)[row.stage]?.final === true
    if ((fault || cancelled) && !final) {
      row.fault = cancelled ? undefined : fault
      this.#fail(row, leg)
      return this.#stopped(row, leg)
    }
    this.#rest(leg)
    if (row.legs.some(({ state }) => state !== 'idle')) return {}
    const next = stagesOf(row.kind)[row.stage + 1]
    if (row.cancelRequested && next && !next.final) {
      this.#fail(row, undefined)
      this.#undoOn(row)
    } else this.#open(row, row.stage + 1)
    return {}
  }

  /** The operation goes back; whoever runs and left something hears of it. */
  #fail(row: Row, reporter: Leg | undefined): void {
    row.undoing = true
    row.deadline = Math.max(row.deadline, this.#clock.now() + undoMs)
    for (const leg of row.legs)
      if (leg !== reporter && (leg.state !== 'running' || this.#toUndo(row, leg).length === 0)) this.#rest(leg)
  }

  #stopped(row: Row, leg: Leg): { undo?: string[] } {
    const undo = this.#toUndo(row, leg)
    if (undo.length > 0) {
      Object.assign(leg, { state: 'undo-running', step: undefined })
      return { undo }
    }
    this.#rest(leg)
    this.#undoOn(row)
    return {}
  }

  #undoOn(row: Row): void {
    if (row.legs.some(({ state }) => state !== 'idle')) return
    const stages = stagesOf(row.kind)
    for (; row.stage >= 0; row.stage--) {
      if (stages[row.stage]?.legs[0]?.at === 'conductor') {
        const done = (undo: boolean) =>
          row.recorded.some((step) => step.name === 'switch' && step.undo === (undo || undefined))
        if (!done(false) || done(true)) continue
        this.#move(row, 'source')
        row.recorded.push({ name: 'switch', undo: true })
      }
      const left = row.legs.filter((leg) => this.#toUndo(row, leg).length > 0)
      for (const leg of left) Object.assign(leg, { state: 'undo-queued', step: undefined })
      for (const leg of left) this.hosts.get(leg.host)?.(row.id)
      if (left.length > 0) return
    }
    this.#over(row, row.fault ? 'failed' : 'cancelled')
  }

  /** The steps of the open stage that this host has come to, that leave something and are not undone yet. */
  #toUndo({ kind, stage, recorded }: Row, { host, role, state }: Leg): string[] {
    const of = (undone: boolean) =>
      new Set(recorded.filter((step) => step.host === host && (step.undo ?? false) === undone).map(({ name }) => name))
    const [reached, undone] = [of(false), of(true)]
    const spec = stagesOf(kind)[stage]?.legs.find(({ at }) => at === role)
    return (spec?.steps ?? [])
      .filter(({ name, undo }) => undo && reached.has(name) && (state.startsWith('undo') || !undone.has(name)))
      .map(({ name }) => name)
      .reverse()
  }

  #open(row: Row, from: number): void {
    for (let n = from; ; n++) {
      const stage = stagesOf(row.kind)[n]
      if (!stage) {
        this.#over(row, 'succeeded')
        return
      }
      row.stage = n
      if (stage.legs[0]?.at === 'conductor') {
        for (const { name } of stage.legs[0].steps) row.recorded.push({ name })
        if (row.kind === 'migrate') this.#move(row, 'target')
        continue
      }
      const legs = stage.legs.map(({ at }) => this.#legOf(row, at, this.instances.get(row.instance)?.host ?? 'h1'))
      for (const leg of legs) Object.assign(leg, { state: 'queued', owner: undefined, step: undefined })
      if (row.state === 'running') for (const { host } of legs) this.hosts.get(host)?.(row.id)
      return
    }
  }

  #legOf(row: Row, role: Role, host: string): Leg {
    const known = row.legs.find((leg) => leg.role === role)
    if (known) return known
    const idle = {
      state: 'idle',
      owner: undefined,
      leaseUntil: 0,
      step: undefined,
      attempt: 0,
      progress: undefined,
    } as const
    const leg: Leg = { host, role, ...idle }
    row.legs.push(leg)
    return leg
  }

  #move({ legs, instance }: Row, to: Role): void {
    const known = this.instances.get(instance)!
    known.host = legs.find(({ role }) => role === to)?.host ?? known.host
    known.generation++
  }

  #rest(leg: Leg): void {
    Object.assign(leg, { state: 'idle', owner: undefined, progress: undefined })
  }

  #power({ changes }: Said<'power'>) {
    const busy = this.#busy()
    for (const { id, power } of changes) {
      const instance = this.instances.get(id)
      if (instance && !busy.has(id)) instance.power = power
    }
    return {}
  }

  #busy = () => new Set([...this.operations.values()].filter(isOpen).map((row) => row.instance))

  #held(id: string, host: string, incarnation: string): Leg | undefined {
    const row = this.operations.get(id)
    if (!row || !isOpen(row)) return undefined
    return row.legs.find((leg) => leg.host === host && leg.owner === incarnation && leg.state.endsWith('running'))
  }

  #owned(id: string, host: string, incarnation: string): { row: Row; leg: Leg } {
    const leg = this.#held(id, host, incarnation)
    if (!leg) fail('OperationLost', { id, why: 'another has it, or it is over' })
    return { row: this.row(id), leg }
  }

  #over(row: Row, state: Row['state']): void {
    row.state = state
    const instance = this.instances.get(row.instance)
    const { to } = kindOf(row.kind)
    if (state === 'succeeded' && instance && kindOf(row.kind).subject === 'instance') {
      if (to === undefined) this.instances.delete(row.instance)
      else if (to !== 'before') instance.state = to
    }
    this.#events.emit('change')
  }
}

export const away = (): Failure => new Failure('HostUnreachable', { target: 'conductor' })
