import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, every, systemClock } from '../../src/core/base/clock.ts'
import { Failure, isFailure } from '../../src/core/base/errors.ts'
import { type Ids, systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { startCompute } from '../../src/core/compute/start.ts'
import { openTransfers, type Transfers } from '../../src/core/compute/transfer.ts'
import type { ConductorDeps } from '../../src/core/conductor/deps.ts'
import { agentManager, computeAgentManager, conductorManager } from '../../src/core/conductor/manager.ts'
import { KnownOperations } from '../../src/core/conductor/operations/known.ts'
import { sweep } from '../../src/core/conductor/operations/sweep.ts'
import { Uploads } from '../../src/core/conductor/uploads.ts'
import type { agent } from '../../src/core/contracts/agent.ts'
import type { broker } from '../../src/core/contracts/broker.ts'
import type { compute } from '../../src/core/contracts/compute.ts'
import type { computeAgent } from '../../src/core/contracts/compute-agent.ts'
import type { conductor } from '../../src/core/contracts/conductor.ts'
import type { scheduler } from '../../src/core/contracts/scheduler.ts'
import { syncDatabase } from '../../src/core/db/migrate.ts'
import { type Db, openDatabase } from '../../src/core/db/open.ts'
import { busUserOf } from '../../src/core/model/bus-user.ts'
import type { Context } from '../../src/core/model/context.ts'
import type { Served } from '../../src/core/rpc/bus.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { Speakers } from '../../src/core/rpc/speakers.ts'
import { SpokenBy } from '../../src/core/rpc/versions.ts'
import { schedulerManager } from '../../src/core/scheduler/manager.ts'
import { openHearing } from '../../src/core/service/hearing.ts'
import { addFlavors } from '../../src/core/store/flavors.ts'
import { addImage } from '../../src/core/store/images.ts'
import type { Driver } from '../../src/core/virt/driver.ts'
import { type FakeDriver, openFake } from '../../src/core/virt/fake/driver.ts'
import { options as conductorOptions } from '../core/conductor/rig.ts'
import { options as schedulerOptions } from '../core/scheduler/samples.ts'

const speed = 100
const begun = systemClock.now()
/** A hundred times as fast as the world. */
const clock: Clock = {
  now: () => Math.floor(begun + (systemClock.now() - begun) * speed),
  after: (ms, fn) => systemClock.after(ms / speed, fn),
  sleep: (ms, signal) => systemClock.sleep(ms / speed, signal),
}

const callTimeoutMs = 10_000
const never = new Promise<never>(() => {})

/** One life of a daemon: what it does when it is over has no effect. */
type Life = { alive: boolean }
/** A compute host: the life of its daemon, what that serves, and what it moves guests with. */
type SimulatedHost = {
  life: Life
  api: Api<typeof compute> | undefined
  transfers: Transfers | undefined
  hostId: string
}
/** Methods of any contract, as the simulated bus carries them. */
type Methods = Record<string, (ctx: unknown, args: unknown) => Promise<unknown>>

/** Mulberry32: small, and good enough for chance that can be had again. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * A whole cloud in one process: two conductors, two schedulers, three hosts, one database; between them a bus that loses,
 * repeats and delays messages while `wild`, and daemons that can be killed.
 */
export class World {
  readonly db: Db
  readonly random: () => number
  readonly hypervisors = new Map<string, FakeDriver>()
  /** Failures that are bugs: not one of the world's. */
  readonly bugs: unknown[] = []
  wild = true
  readonly #ids: Ids
  readonly #dir = mkdtempSync(join(tmpdir(), 'nova-world-'))
  readonly #hosts = new Map<string, SimulatedHost>()
  readonly #conductors: Array<{
    life: Life
    faces: Methods
    agents: Methods
    computes: Methods
    stop: () => Promise<void>
  }> = []
  readonly #schedulers: Array<{ life: Life; api: Methods; stop: () => Promise<void> }> = []

  private constructor(db: Db, seed: number) {
    this.db = db
    this.random = chance(seed)
    this.#ids = { ...systemIds, random: this.random }
  }

  static async open(seed: number): Promise<World> {
    const db = await openDatabase('sqlite::memory:', { log: silentLog, clock: systemClock })
    await syncDatabase(db)
    const world = new World(db, seed)
    await world.#furnish()
    for (const i of [0, 1]) world.startConductor(i)
    for (const i of [0, 1]) world.startScheduler(i)
    for (const name of ['h1', 'h2', 'h3']) {
      const resources = { vcpus: 16, memoryMb: 16_384, diskGb: 100 }
      world.hypervisors.set(name, openFake({ clock, ids: world.#ids, resources }))
      world.#hosts.set(name, { life: { alive: false }, api: undefined, transfers: undefined, hostId: systemIds.uuid() })
      world.startHost(name)
    }
    return world
  }

  async close(): Promise<void> {
    for (const name of this.#hosts.keys()) this.killHost(name)
    for (const { life, stop } of [...this.#conductors, ...this.#schedulers]) {
      life.alive = false
      await stop()
    }
    await this.db.destroy()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  async #furnish(): Promise<void> {
    const createdAt = clock.now()
    await addFlavors(this.db, [{ id: systemIds.uuid(), name: 'tiny', vcpus: 1, memoryMb: 512, diskGb: 1, createdAt }])
    const sha256 = createHash('sha256').update('kernel').digest('hex')
    writeFileSync(join(this.#dir, sha256), 'kernel')
    const file = { sizeBytes: 6, sha256 }
    await addImage(this.db, {
      id: systemIds.uuid(),
      name: 'tiny',
      projectId: 'p',
      status: 'active',
      files: { kernel: file },
      parts: { kernel: { ...file, complete: true } },
      minMemoryMb: 0,
      minDiskGb: 0,
      sizeBytes: 6,
      metadata: {},
      visibility: 'public',
      createdAt,
    })
  }

  /** What a face asks, of whichever conductor takes it. */
  get conductor(): Api<typeof conductor> {
    return this.#client(() => this.#pick(this.#conductors)?.faces)
  }

  pick<T>(among: readonly T[]): T | undefined {
    return among[Math.floor(this.random() * among.length)]
  }

  #pick<T extends { life: Life }>(among: readonly T[]): T | undefined {
    return this.pick(among.filter(({ life }) => life.alive))
  }

  /** Asks over the bus, logged in as `busUser`. A caller that was killed sends nothing more and hears nothing more. */
  #client<A>(target: () => Methods | undefined, caller: Life = { alive: true }, isCast = false, busUser = 'nova'): A {
    const send = async (method: string, ctx: unknown, args: unknown): Promise<unknown> => {
      if (!caller.alive) return never
      const lot = this.wild ? this.random() : 1
      if (this.wild) await clock.sleep(this.random() * 2000)
      const api = target()
      if (!caller.alive) return never
      if (!api) throw new Failure('HostUnreachable', { target: method })
      const run = (): Promise<unknown> => api[method]!({ ...(ctx as Context), busUser }, args)
      if (lot < 0.08) return isCast ? undefined : this.#timeout(method)
      const first = run()
      first.catch((e) => isFailure(e) || this.bugs.push(e))
      // The same message once more: at once, or much later, when its sender may be gone.
      if (lot < 0.16)
        void clock
          .sleep(this.random() * 20_000)
          .then(() => (target() === api ? run() : undefined))
          .catch((e) => isFailure(e) || this.bugs.push(e))
      if (lot > 0.16 && lot < 0.24) return isCast ? undefined : this.#timeout(method)
      if (isCast) return undefined
      const answer = await Promise.race([first, this.#timeout(method)])
      return caller.alive ? answer : never
    }
    return new Proxy({} as object, {
      get: (_, method) => (ctx: unknown, args: unknown) => send(String(method), ctx, args),
    }) as A
  }

  async #timeout(method: string): Promise<never> {
    await clock.sleep(callTimeoutMs)
    throw new Failure('CallTimeout', { target: 'any', method, seconds: callTimeoutMs / 1000 })
  }

  startConductor(i: number): void {
    const life = { alive: true }
    const hearing = openHearing(clock, conductorOptions, () => undefined, clock.now())
    const deps: ConductorDeps = {
      db: this.db,
      clock,
      ids: this.#ids,
      log: silentLog,
      version: '1',
      hostName: `c${i}`,
      incarnation: systemIds.uuid(),
      computeOn: (host) => this.#client(() => this.#hosts.get(host)?.api as unknown as Methods, life, true),
      busBackAt: () => undefined,
      knownOperations: new KnownOperations(),
      hearing,
      speakers: new Speakers(),
      scheduler: this.#client<Api<typeof scheduler>>(() => this.#pick(this.#schedulers)?.api, life, true),
      // No host of this world speaks of what is not its own.
      publish: (key, event) => void (key.startsWith('audit.') && this.bugs.push(event)),
      broker: this.#client<Api<typeof broker>>(() => undefined, life, true),
      imageDir: this.#dir,
      uploads: new Uploads(this.#dir, 0),
      options: conductorOptions,
    }
    const bug = (e: unknown) => this.bugs.push(e)
    const look = async () => {
      hearing.beat()
      await sweep(deps)
    }
    const stop = every(clock, 2000, look, bug)
    const faces = conductorManager(deps) as unknown as Methods
    const agents = agentManager(deps) as unknown as Methods
    const computes = computeAgentManager(deps) as unknown as Methods
    this.#conductors[i] = { life, faces, agents, computes, stop }
  }

  async killConductor(i: number): Promise<void> {
    const { life, stop } = this.#conductors[i]!
    life.alive = false
    void stop()
  }

  startScheduler(i: number): void {
    const life = { alive: true }
    // If the machine halts for a while, nobody was heard meanwhile: half a minute of this world passes in no time.
    const hearing = openHearing(clock, schedulerOptions(), () => undefined, 0)
    const api = schedulerManager({
      db: this.db,
      clock,
      ids: this.#ids,
      log: silentLog,
      version: '1',
      hostName: `s${i}`,
      incarnation: systemIds.uuid(),
      computeOn: (host) => this.#client(() => this.#hosts.get(host)?.api as unknown as Methods, life, true),
      speakers: new Speakers(),
      hearing,
      publish: () => {},
      options: schedulerOptions(),
    })
    const stop = every(
      clock,
      2000,
      async () => hearing.beat(),
      (e) => this.bugs.push(e),
    )
    this.#schedulers[i] = { life, api: api as unknown as Methods, stop }
  }

  killScheduler(i: number): void {
    const { life, stop } = this.#schedulers[i]!
    life.alive = false
    void stop()
  }

  startHost(name: string): void {
    const host = this.#hosts.get(name)!
    const life = { alive: true }
    host.life = life
    const mine = <T>(value: T): T | Promise<never> => (life.alive ? value : never)
    const serve = async ([service]: readonly Served[]) => {
      if (life.alive) host.api = service!.api as unknown as Api<typeof compute>
      return { stop: async () => {}, lastPongAt: undefined }
    }
    const options = {
      heartbeatSeconds: 10,
      pingSeconds: 10,
      reportSeconds: 60,
      shutdownTimeout: 10,
      slots: 4,
      minFreeDiskGb: 0,
      migrationAddress: '127.0.0.1',
      migrationPort: 0,
    }
    host.transfers = openTransfers({ clock, ids: this.#ids, log: silentLog, options })
    startCompute({
      service: 'compute',
      host: name,
      hostId: host.hostId,
      incarnation: systemIds.uuid(),
      availabilityZone: 'nova',
      version: '1',
      driver: this.#driverOf(name, life),
      agent: this.#client<Api<typeof agent>>(() => this.#pick(this.#conductors)?.agents, life, false, busUserOf(name)),
      computeAgent: this.#client<Api<typeof computeAgent>>(
        () => this.#pick(this.#conductors)?.computes,
        life,
        false,
        busUserOf(name),
      ),
      transfers: host.transfers,
      conductors: new SpokenBy(),
      clock: {
        ...clock,
        sleep: (ms, signal) => clock.sleep(ms, signal).then(mine),
        after: (ms, fn) => clock.after(ms, () => life.alive && fn()),
      },
      ids: this.#ids,
      log: silentLog,
      imageDir: join(this.#dir, name),
      options,
      bus: { serve, onLink: () => () => {} },
    }).catch((e) => life.alive && this.bugs.push(e))
  }

  killHost(name: string): void {
    const host = this.#hosts.get(name)!
    host.life.alive = false
    host.api = undefined
    // Its connections end with it.
    void host.transfers?.close()
  }

  /** The hypervisor as one life of the daemon sees it: slow, and failing now and then. */
  #driverOf(name: string, life: Life): Driver {
    const slow = new Set([
      'createDisk',
      'start',
      'stop',
      'reboot',
      'pause',
      'unpause',
      'suspend',
      'resume',
      'destroy',
      'exportDisk',
      'importDisk',
    ])
    return new Proxy(this.hypervisors.get(name)!, {
      get: (target, key) => {
        const method = Reflect.get(target, key) as unknown
        if (typeof method !== 'function') return method
        if (!slow.has(String(key))) return method.bind(target)
        return async (...args: unknown[]) => {
          if (this.wild) await clock.sleep(this.random() * 3000)
          if (!life.alive) return never
          if (this.wild && this.random() < 0.05)
            throw new Failure('DriverFailed', { action: String(key), why: 'chance' })
          const done = await Reflect.apply(method, target, args)
          if (this.wild) await clock.sleep(this.random() * 1000)
          return life.alive ? done : never
        }
      },
    })
  }
}

/** Waits in the world's own, fast time. */
export const pass = (seconds: number): Promise<void> => clock.sleep(seconds * 1000)
