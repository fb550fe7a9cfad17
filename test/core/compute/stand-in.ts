import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Clock } from '../../../src/core/base/clock.ts'
import { Failure, fail } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import type { agent, Work } from '../../../src/core/contracts/agent.ts'
import type { Fault, ImagePart } from '../../../src/core/contracts/shapes.ts'
import type { PowerState } from '../../../src/core/model/instance.ts'
import { kindOf, type OperationKind } from '../../../src/core/model/operation.ts'
import type { Api, Args } from '../../../src/core/rpc/contract.ts'

type Agent = Api<typeof agent>
export type Method = keyof Agent

export type Row = {
  id: string
  kind: OperationKind
  instance: string
  state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  /** Recorded steps, in order; the last one is where a host goes on. */
  steps: string[]
  owner: string | undefined
  leaseUntil: number
  deadline: number
  attempt: number
  cancelRequested: boolean
  power: PowerState | undefined
  fault: Fault | undefined
}

const isOpen = (row: Row): boolean => row.state === 'queued' || row.state === 'running'

/** A conductor in memory that keeps the rules of the agent contract: who may claim, what is lost, what is cancelled. */
export class StandIn {
  readonly operations = new Map<string, Row>()
  readonly instances = new Map<string, { id: string; state: string; power: PowerState; generation: number }>()
  readonly files = new Map<ImagePart, Buffer>()
  /** All that was said, in order, with what it was said of. */
  readonly said: Array<{ method: Method; args: unknown }> = []
  /** Throws what the caller is to see: before anything is done, or after, where only the answer is lost. */
  trouble: (method: Method, when: 'before' | 'after') => Error | undefined = () => undefined
  hostId: string | undefined
  readonly imageId = systemIds.uuid()
  readonly #clock: Clock
  readonly #events = new EventEmitter().setMaxListeners(0)
  #life: string | undefined
  readonly #leaseMs: number

  constructor(clock: Clock, leaseMs = 30_000) {
    this.#clock = clock
    this.#leaseMs = leaseMs
    this.files.set('disk', Buffer.from('a disk'))
  }

  newInstance(power: PowerState = 'NOSTATE', state = 'BUILD'): string {
    const id = systemIds.uuid()
    this.instances.set(id, { id, state, power, generation: 1 })
    return id
  }

  begin(kind: OperationKind, instance: string, deadlineMs = kindOf(kind).deadlineSeconds * 1000): string {
    const id = systemIds.uuid()
    if (kind === 'delete') {
      for (const row of this.operations.values()) {
        if (row.instance === instance && isOpen(row)) this.#close(row, 'cancelled')
      }
    }
    this.operations.set(id, {
      id,
      kind,
      instance,
      state: 'queued',
      steps: kind === 'boot' ? ['place'] : [],
      owner: undefined,
      leaseUntil: 0,
      deadline: this.#clock.now() + deadlineMs,
      attempt: 0,
      cancelRequested: false,
      power: undefined,
      fault: undefined,
    })
    return id
  }

  row(id: string): Row {
    return this.operations.get(id)!
  }

  cancel(id: string): void {
    this.row(id).cancelRequested = true
  }

  /** Resolves when the operation is over. */
  async over(id: string): Promise<Row> {
    while (isOpen(this.row(id))) await new Promise((resolve) => this.#events.once('change', resolve))
    return this.row(id)
  }

  /** Resolves when the method has been said `times` times since the beginning. */
  async heard(method: Method, times = 1): Promise<void> {
    while (this.said.filter((s) => s.method === method).length < times) {
      await new Promise((resolve) => this.#events.once('change', resolve))
    }
  }

  saidOf(method: Method): unknown[] {
    return this.said.filter((s) => s.method === method).map((s) => s.args)
  }

  image(): NonNullable<Work['image']> {
    const files: NonNullable<Work['image']>['files'] = {}
    for (const [part, bytes] of this.files) {
      files[part] = { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    }
    return { id: this.imageId, name: 'tiny', diskFormat: 'qcow2', files }
  }

  /** What a host speaks to. */
  agent(): Agent {
    const wrap =
      <M extends Method>(method: M, answer: (args: Args<typeof agent, M>) => unknown) =>
      async (_: unknown, args: Args<typeof agent, M>) => {
        await undefined
        const before = this.trouble(method, 'before')
        if (before) throw before
        this.said.push({ method, args })
        const result = answer(args)
        this.#events.emit('change')
        const after = this.trouble(method, 'after')
        if (after) throw after
        return result
      }
    return {
      hello: wrap('hello', (args) => this.#hello(args)),
      heartbeat: wrap('heartbeat', (args) => this.#heartbeat(args)),
      claim: wrap('claim', (args) => this.#claim(args)),
      step: wrap('step', (args) => this.#step(args)),
      finish: wrap('finish', (args) => this.#finish(args)),
      power: wrap('power', (args) => this.#power(args)),
      imageRead: wrap('imageRead', ({ part, offset, length }) => ({
        data: this.files
          .get(part)!
          .subarray(offset, offset + length)
          .toString('base64'),
      })),
      bye: wrap('bye', ({ incarnation }) => {
        for (const row of this.operations.values()) {
          if (row.owner === incarnation) row.owner = undefined
        }
        return {}
      }),
    } as Agent
  }

  #hello({ hostId, incarnation, host }: Args<typeof agent, 'hello'>) {
    this.hostId ??= hostId
    if (hostId !== this.hostId) fail('HostMismatch', { host, known: this.hostId, presented: hostId })
    this.#life = incarnation
    const operations = [...this.operations.values()].filter(isOpen).map((row) => row.id)
    return { operations, instances: [...this.instances.values()] }
  }

  #heartbeat({ incarnation, operations }: Args<typeof agent, 'heartbeat'>) {
    const lost = operations.filter((id) => !this.#isOwner(id, incarnation))
    const held = operations.filter((id) => !lost.includes(id)).map((id) => this.row(id))
    const leaseUntil = this.#clock.now() + this.#leaseMs
    for (const row of held) row.leaseUntil = leaseUntil
    return { lost, cancelled: held.filter((row) => row.cancelRequested).map((row) => row.id), leaseUntil }
  }

  #claim({ incarnation, operation }: Args<typeof agent, 'claim'>): Work {
    this.#life ??= incarnation
    const row = this.operations.get(operation)
    if (!row || !isOpen(row)) fail('OperationLost', { id: operation, why: 'it is over' })
    const free = row.owner === undefined || row.owner === incarnation || row.leaseUntil < this.#clock.now()
    if (!free && row.owner === this.#life) fail('OperationLost', { id: operation, why: 'another has it' })
    row.state = 'running'
    row.owner = incarnation
    row.attempt++
    row.leaseUntil = this.#clock.now() + this.#leaseMs
    if (row.steps.length === 0 || row.steps.at(-1) === 'place') {
      row.steps.push(kindOf(row.kind).steps.find((step) => step !== 'place')!)
    }
    const { id, kind, attempt, deadline, leaseUntil } = row
    return {
      operation: { id, kind, step: row.steps.at(-1)!, attempt, requestId: 'req-1', deadline, leaseUntil },
      instance: {
        id: row.instance,
        name: 'web',
        size: { vcpus: 1, memoryMb: 64, diskGb: 1 },
        metadata: {},
        generation: this.instances.get(row.instance)?.generation ?? 1,
      },
      ...(this.files.size > 0 ? { image: this.image() } : {}),
    }
  }

  #step({ incarnation, operation, step }: Args<typeof agent, 'step'>) {
    const row = this.#owned(operation, incarnation)
    if (row.cancelRequested) fail('OperationCancelled', { id: operation, step })
    row.steps.push(step)
    row.leaseUntil = this.#clock.now() + this.#leaseMs
    return { leaseUntil: row.leaseUntil }
  }

  #finish({ incarnation, operation, power, fault, cancelled }: Args<typeof agent, 'finish'>) {
    const known = this.operations.get(operation)
    if (known && !isOpen(known) && known.owner === incarnation) return {}
    const row = this.#owned(operation, incarnation)
    row.power = power
    row.fault = fault
    const instance = this.instances.get(row.instance)
    if (instance) instance.power = power
    if (row.kind === 'delete' && !fault && !cancelled) this.instances.delete(row.instance)
    this.#close(row, cancelled ? 'cancelled' : fault ? 'failed' : 'succeeded')
    return {}
  }

  #power({ changes }: Args<typeof agent, 'power'>) {
    const busy = new Set([...this.operations.values()].filter(isOpen).map((row) => row.instance))
    for (const { id, power } of changes) {
      const instance = this.instances.get(id)
      if (instance && !busy.has(id)) instance.power = power
    }
    return {}
  }

  #isOwner(id: string, incarnation: string): boolean {
    const row = this.operations.get(id)
    return row !== undefined && row.state === 'running' && row.owner === incarnation
  }

  #owned(id: string, incarnation: string): Row {
    if (!this.#isOwner(id, incarnation)) fail('OperationLost', { id, why: 'another has it, or it is over' })
    return this.row(id)
  }

  #close(row: Row, state: Row['state']): void {
    row.state = state
    this.#events.emit('change')
  }
}

export const away = (): Failure => new Failure('HostUnreachable', { target: 'conductor' })
