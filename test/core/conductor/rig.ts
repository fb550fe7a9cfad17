import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { type Clock, systemClock } from '../../../src/core/base/clock.ts'
import { fail } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { ConductorDeps, ConductorOptions } from '../../../src/core/conductor/deps.ts'
import { agentManager, computeAgentManager, conductorManager } from '../../../src/core/conductor/manager.ts'
import { KnownOperations } from '../../../src/core/conductor/operations/known.ts'
import { Uploads } from '../../../src/core/conductor/uploads.ts'
import type { agent } from '../../../src/core/contracts/agent.ts'
import type { BusQueue } from '../../../src/core/contracts/broker.ts'
import { compute as computeContract } from '../../../src/core/contracts/compute.ts'
import type { computeAgent } from '../../../src/core/contracts/compute-agent.ts'
import type { BootRequest } from '../../../src/core/contracts/conductor.ts'
import type { Published } from '../../../src/core/contracts/shapes.ts'
import type { Db } from '../../../src/core/db/open.ts'
import { limits } from '../../../src/core/model/capacity.ts'
import type { Context } from '../../../src/core/model/context.ts'
import type { Size } from '../../../src/core/model/instance.ts'
import { faultOf } from '../../../src/core/operations/faults.ts'
import { lockOpen } from '../../../src/core/operations/open.ts'
import { full, placeOn } from '../../../src/core/operations/place.ts'
import { changeOperations } from '../../../src/core/operations/transaction.ts'
import { failOperation, unplace } from '../../../src/core/operations/undo.ts'
import type { Api, Args } from '../../../src/core/rpc/contract.ts'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import { capacityDrift } from '../../../src/core/store/allocations.ts'
import { saveDecision } from '../../../src/core/store/decisions.ts'
import { addFlavors } from '../../../src/core/store/flavors.ts'
import { addImage } from '../../../src/core/store/images.ts'
import { hostsForPlacement, placementFor } from '../../../src/core/store/placement.ts'
import { serviceHeartbeat } from '../../../src/core/store/services.ts'
import type { TestDatabases } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'

export const options: ConductorOptions = {
  leaseSeconds: 30,
  sweepSeconds: 2,
  resendSeconds: 5,
  maxAttempts: 3,
  heartbeatSeconds: 10,
  serviceDownTime: 30,
  pingSeconds: 10,
  eventsMax: 1000,
  historyDays: 90,
  operationsDays: 30,
  quota: { instances: -1, cores: -1, memoryMb: -1, imageSizeTotal: -1 },
  placement: {
    cpuAllocationRatio: 1,
    ramAllocationRatio: 1,
    diskAllocationRatio: 1,
    reservedHostMemoryMb: 0,
    reservedHostDiskMb: 0,
  },
}

export const admin: Context = {
  requestId: 'req-admin',
  userId: 'ada',
  projectId: 'p1',
  roles: ['admin'],
  isAdmin: true,
  busUser: 'nova',
}
export const member = (projectId: string): Context => ({
  requestId: 'req-member',
  userId: 'bob',
  projectId,
  roles: ['member'],
  isAdmin: false,
})

/** Real time, which a test can push forward. */
export type TestClock = Clock & { advance(seconds: number): void }
function testClock(): TestClock {
  let ahead = 0
  return {
    ...systemClock,
    now: () => systemClock.now() + ahead,
    advance(seconds) {
      ahead += seconds * 1000
    },
  }
}

/** A message that was sent: to a host, or to the scheduler. */
export type Sent = { to: string; operation: string }

/**
 * A conductor on a real database, with a bus that keeps what it is given: a message goes to whoever `listens`, and then
 * either is lost or waits in `sent` for the test to play its receiver.
 */
export class Rig {
  readonly db: Db
  readonly clock: TestClock
  readonly deps: ConductorDeps
  readonly conductor: ReturnType<typeof conductorManager>
  readonly agent: Api<typeof agent>
  readonly computeAgent: Api<typeof computeAgent>
  readonly sent: Sent[] = []
  readonly published: Array<{ key: string; body: Published }> = []
  readonly listens = new Set(['scheduler'])
  /** What the broker's keeper tells. */
  queues: BusQueue[] = []
  /** Users of the broker, with what they may do. */
  readonly users = new Map<string, unknown>()
  busBackAt: number | undefined
  hearsSince = 0
  /** Plays the scheduler at once, inside the cast. */
  placeAtOnce = true
  readonly #undo: Array<() => Promise<void> | void>

  private constructor(
    db: Db,
    clock: TestClock,
    but: Partial<ConductorOptions>,
    undo: Array<() => Promise<void> | void>,
  ) {
    this.db = db
    this.clock = clock
    this.#undo = undo
    const imageDir = mkdtempSync(join(tmpdir(), 'nova-images-'))
    undo.push(() => rmSync(imageDir, { recursive: true, force: true }))
    const hear = (to: string, operation: string) => {
      if (!this.listens.has(to)) fail('HostUnreachable', { target: to })
      this.sent.push({ to, operation })
    }
    this.deps = {
      db,
      clock,
      ids: systemIds,
      log: silentLog,
      version: '1.2.3',
      hostName: 'control',
      incarnation: 'conductor-life',
      speakers: new Speakers(),
      busBackAt: () => this.busBackAt,
      knownOperations: new KnownOperations(),
      hearing: { since: () => this.hearsSince, beat: () => undefined },
      computeOn: (host) => ({
        run: async (_ctx, { operation }) => hear(host, operation),
        consoleLog: async (_ctx, { instance, lines }) => ({ text: `${host} ${instance} ${lines}` }),
        ping: async () => ({ host, incarnation: 'x' }),
      }),
      scheduler: {
        place: async (_ctx, { operation }) => {
          hear('scheduler', operation)
          if (this.placeAtOnce) await this.place(operation)
        },
        decide: async (_ctx, request) => ({
          at: clock.now(),
          chosen: 'h1',
          summary: JSON.stringify(request),
          filters: [],
          weighers: [],
          hosts: [],
        }),
        ping: async () => ({ version: '1' }),
      },
      broker: {
        queueList: async () => ({ broker: { product: 'test' }, queues: this.queues }),
        queuePurge: async (_ctx, { queue }) => {
          const [purged] = this.queues.filter(({ name }) => name === queue)
          if (!purged) fail('QueueNotFound', { id: queue })
          this.queues = this.queues.filter(({ name }) => name !== queue)
          return { messages: purged.messages }
        },
        userPut: async (_ctx, { user, permissions }) => {
          const known = this.users.has(user)
          this.users.set(user, permissions)
          return { known, password: 'new', url: `amqp://${user}:new@bus` }
        },
        userDelete: async (_ctx, { user }) => ({ known: this.users.delete(user) }),
      },
      publish: (key, body) => this.published.push({ key, body: body as Published }),
      imageDir,
      uploads: new Uploads(imageDir, 0),
      options: { ...options, ...but },
    }
    this.conductor = conductorManager(this.deps)
    this.agent = agentManager(this.deps)
    this.computeAgent = computeAgentManager(this.deps)
  }

  static async open(databases: TestDatabases, but: Partial<ConductorOptions> = {}): Promise<Rig> {
    const { db, drop } = await migrated(databases)
    const clock = testClock()
    const rig = new Rig(db, clock, but, [drop])
    const now = clock.now()
    await addFlavors(db, [
      { id: systemIds.uuid(), name: 'm1.tiny', vcpus: 1, memoryMb: 512, diskGb: 1, createdAt: now },
      { id: systemIds.uuid(), name: 'm1.small', vcpus: 2, memoryMb: 2048, diskGb: 20, createdAt: now },
    ])
    const file = { sizeBytes: 3, sha256: 'a'.repeat(64) }
    await addImage(db, {
      id: systemIds.uuid(),
      name: 'tiny',
      projectId: 'p1',
      status: 'active',
      diskFormat: 'qcow2',
      files: { disk: file },
      parts: { disk: { ...file, complete: true } },
      minMemoryMb: 64,
      minDiskGb: 1,
      sizeBytes: 3,
      metadata: {},
      createdAt: now,
      visibility: 'public',
    })
    return rig
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo()
  }

  /** A host that says hello and listens, with so many slots for m1.tiny. */
  async host(host: string, { slots = 10, life = `${host}-life`, listens = true } = {}): Promise<Host> {
    const total = { vcpus: slots, memoryMb: slots * 512, diskGb: slots }
    const report = { driver: 'fake', hypervisor: 'fake', hypervisorVersion: '1', accelerator: 'none', total }
    const hostId = `id-of-${host}`
    const self = { host, incarnation: life }
    await this.agent.hello(admin, { service: 'compute', ...self, hostId, version: '1.2.3' })
    await this.computeAgent.join(admin, { ...self, hostId, availabilityZone: 'nova', report, guests: [] })
    // What a host of today says with its first heartbeat.
    await this.agent.heartbeat(admin, {
      service: 'compute',
      ...self,
      operations: [],
      contracts: { compute: computeContract.version },
    })
    if (listens) this.listens.add(host)
    return new Host(this, host, life)
  }

  /** The first host with room, as the simplest of schedulers would choose. */
  async place(operationId: string): Promise<void> {
    const placement = await placementFor(this.db, operationId)
    if (!placement) return
    const { spec, instanceName } = placement
    for (const { name, total } of await hostsForPlacement(this.db)) {
      if (spec.excluded.includes(name) || (spec.forcedHost ?? name) !== name) continue
      const room = { size: spec.size, limits: limits(total, options.placement) }
      const answer = await this.claimRoom(operationId, name, room)
      if (answer === 'gone') return
      if (answer === 'full') continue
      await this.deps
        .computeOn(name)
        .run(admin, { operation: operationId })
        .catch(() => undefined)
      return
    }
    await changeOperations(this.deps, async (t) => {
      const operation = await lockOpen(t.db, operationId)
      if (!operation) return
      const fault = faultOf('NoValidHost', { reason: 'all full', instance: instanceName }, t.now)
      const decision = { at: t.now, summary: 'all full', filters: [], weighers: [], hosts: [] }
      await saveDecision(t.db, { operationId, instanceId: placement.instanceId, decision })
      await failOperation(t, operation, fault, { attempts: 1 })
    })
  }

  /** Claims room on a host for an operation that waits for a scheduler: `full` if there is too little. */
  claimRoom(operation: string, host: string, room: { size: Size; limits: Size }): Promise<'placed' | 'gone' | 'full'> {
    return changeOperations(this.deps, (t) => placeOn(t, { operation, host, ...room })).catch((e) => {
      if (e !== full) throw e
      return 'full'
    })
  }

  /** As a scheduler does that finds the host silent. */
  unplace(operationId: string, host: string): Promise<boolean> {
    return changeOperations(this.deps, async (t) => {
      const operation = await lockOpen(t.db, operationId)
      return operation !== undefined && (await unplace(t, operation, host))
    })
  }

  /** Takes the messages that were sent to one receiver. */
  take(to: string): string[] {
    const taken = this.sent.filter((message) => message.to === to).map(({ operation }) => operation)
    const left = this.sent.filter((message) => message.to !== to)
    this.sent.splice(0, this.sent.length, ...left)
    return taken
  }

  async boot(name = 'web', more: Partial<BootRequest> = {}, ctx = admin) {
    const { begun } = await this.conductor.boot(ctx, { name, flavor: 'm1.tiny', image: 'tiny', ...more })
    return begun[0]!
  }

  /** An instance that is up and running on a host. */
  async running(host: Host, name = 'web', ctx = admin): Promise<string> {
    const { operation, instance } = await this.boot(name, {}, ctx)
    await host.carryOut(operation)
    this.take(host.name)
    return instance.id
  }

  async show(instance: string) {
    return this.conductor.instanceShow(admin, { instance })
  }

  async operation(operation: string) {
    return this.conductor.operationShow(admin, { operation })
  }

  /** Types of the events that are stored, oldest first. */
  async events(): Promise<string[]> {
    const { events } = await this.conductor.eventList(admin, { limit: 10_000 })
    return events.map(({ type }) => type)
  }

  drift() {
    return capacityDrift(this.db)
  }

  schedulerIsUp() {
    return serviceHeartbeat(
      this.db,
      { binary: 'scheduler', host: 'control', version: '1', incarnation: 'scheduler-life' },
      this.clock.now(),
    )
  }
}

/** One life of a compute daemon, played by the test. */
export class Host {
  readonly rig: Rig
  readonly name: string
  readonly life: string

  constructor(rig: Rig, name: string, life: string) {
    this.rig = rig
    this.name = name
    this.life = life
  }

  get self() {
    return { service: 'compute' as const, host: this.name, incarnation: this.life }
  }

  claim(operation: string) {
    return this.rig.agent.claim(admin, { ...this.self, operation })
  }

  step(operation: string, step: string, more: Partial<Args<typeof agent, 'step'>> = {}) {
    return this.rig.agent.step(admin, { ...this.self, operation, step, attempt: 1, ...more })
  }

  finish(operation: string, more: Partial<Args<typeof agent, 'finish'>> = {}) {
    return this.rig.agent.finish(admin, { ...this.self, operation, power: 'RUNNING', ...more })
  }

  /** Fails the leg, and undoes what it is told to undo. */
  async fault(operation: string, code = 'DriverFailed') {
    const fault = { code, message: 'The hypervisor could not do it.', at: this.rig.clock.now() }
    await this.undo(operation, await this.finish(operation, { power: 'NOSTATE', fault }))
  }

  /** Undoes what the answer to the end of a leg says. */
  async undo(operation: string, { undo = [] }: { undo?: string[] | undefined }) {
    if (undo.length === 0) return
    for (const step of undo) await this.step(operation, step, { undo: true })
    await this.finish(operation, { power: 'NOSTATE', undone: true })
  }

  /** Claims it and ends it as asked. */
  async carryOut(operation: string) {
    const work = await this.claim(operation)
    const power = { pause: 'PAUSED', stop: 'SHUTDOWN', suspend: 'SUSPENDED', delete: 'NOSTATE' } as const
    await this.finish(operation, { power: power[work.operation.kind as keyof typeof power] ?? 'RUNNING' })
    return work
  }
}

/** How the tests of one database open their rigs; each is closed after its test. */
export function rigsOf(database: TestDatabases): (but?: Partial<ConductorOptions>) => Promise<Rig> {
  const open: Rig[] = []
  afterEach(async () => {
    for (const rig of open.splice(0)) await rig.close()
  })
  return async (but = {}) => {
    const rig = await Rig.open(database, but)
    open.push(rig)
    return rig
  }
}

/** Who speaks, as the messages of compute hosts alone say it. */
export const selfOf = ({ name: host, life: incarnation }: Host) => ({ host, incarnation })
