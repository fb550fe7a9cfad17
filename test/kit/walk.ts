import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../src/core/base/clock.ts'
import { Failure } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { startCompute } from '../../src/core/compute/start.ts'
import { type Config, loadConfig } from '../../src/core/config/load.ts'
import { busUrl } from '../../src/core/config/places.ts'
import { agent, type Work } from '../../src/core/contracts/agent.ts'
import { computeAgent } from '../../src/core/contracts/compute-agent.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import type { Db } from '../../src/core/db/open.ts'
import { type OperationKind, stagesOf } from '../../src/core/model/operation.ts'
import type { Bus, Served } from '../../src/core/rpc/bus.ts'
import { connectBus } from '../../src/core/rpc/connect.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { SpokenBy } from '../../src/core/rpc/versions.ts'
import { findOperation } from '../../src/core/store/operations.ts'
import type { Driver } from '../../src/core/virt/driver.ts'
import { type FakeDriver, openFake } from '../../src/core/virt/fake/driver.ts'
import { openState, startConductor } from '../../src/daemons/conductor.ts'
import type { Runtime } from '../../src/daemons/runtime.ts'
import { startScheduler } from '../../src/daemons/scheduler.ts'
import { type Backend, Cloud, type Daemon } from './cloud.ts'
import { freePort } from './private-rabbitmq.ts'
import { type Line, startProxy } from './proxy.ts'

/**
 * A cloud whose conductor, scheduler and compute hosts live in this process, on a real bus and a real database: a test may
 * stop any of them at any step of an operation, as a death or a silence would.
 */

/** Short, so that a lapsed lease costs a test little. */
export const leaseMs = 1_000
const settings = {
  NOVA_OPERATIONS_LEASE_SECONDS: String(leaseMs / 1000),
  NOVA_OPERATIONS_SWEEP_SECONDS: '0.15',
  NOVA_OPERATIONS_RESEND_SECONDS: '0.4',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.25',
  NOVA_SERVICES_SERVICE_DOWN_TIME: '6',
  NOVA_SCHEDULER_RESERVED_HOST_MEMORY_MB: '0',
  NOVA_SCHEDULER_RESERVED_HOST_DISK_MB: '0',
  NOVA_LOG_LEVEL: 'silent',
}

/** How long a host waits for an answer, in ms. */
const callMs = 1_500

const never = new Promise<never>(() => {})

/** A moment of an operation: an executor of this kind has come to this step, which is recorded, and not begun. */
export type Moment = { kind: OperationKind; step: string; host: WalkHost }

/** A daemon of this process, and its abrupt end: what it was about to say is lost. */
type Part = { kill(): Promise<void> }

/** What becomes of a message to a scheduler or a conductor that leads to a step of theirs. */
export type Fate = 'lost' | 'twice' | 'killed' | undefined

export class WalkCloud {
  readonly #cloud: Cloud
  readonly #config: Config
  readonly #line: Line | undefined
  /** Of the embedded broker. */
  readonly #port: number | undefined
  #broker: Daemon | undefined
  readonly #parts = new Map<'conductor' | 'scheduler', Part>()
  readonly #hosts: WalkHost[] = []
  /** By the subject's name: called when a scheduler or a conductor is about to take a step; the step waits until it resolves. */
  readonly control = new Map<string, (moment: Omit<Moment, 'host'> & { subject: string }) => Promise<Fate>>()
  db!: Db
  api!: Api<typeof conductor>
  readonly #undo: Array<() => unknown> = []

  private constructor(cloud: Cloud, config: Config, line: Line | undefined, port: number | undefined) {
    this.#cloud = cloud
    this.#config = config
    this.#line = line
    this.#port = port
  }

  static async open(backend: Backend): Promise<WalkCloud> {
    const port = await freePort()
    const listen = backend === 'embedded' ? { NOVA_BROKER_LISTEN: `127.0.0.1:${port}` } : {}
    const cloud = await Cloud.open(backend, { ...settings, ...listen })
    const line = backend === 'services' ? await proxied(cloud) : undefined
    const config = await loadConfig({ env: cloud.env })
    const walk = new WalkCloud(cloud, config, line, line ? undefined : port)
    if (!line) walk.#broker = await cloud.daemon('broker')
    const opening = walk.#runtime('state')
    walk.db = await openState(opening.runtime)
    walk.#undo.push(opening.stop)
    await walk.#start('conductor')
    await walk.#start('scheduler')
    const asking = await walk.connect('test')
    walk.api = asking.client(conductor, { timeoutMs: 5_000 })
    walk.#undo.push(() => asking.close())
    return walk
  }

  /** The bus as TCP: a line of its own may be put before it. */
  address(): URL {
    const url = busUrl(this.#config)
    if (this.#port === undefined) return new URL(url)
    const login = /\/\/([^@]*)@/.exec(url)?.[1]
    return new URL(`amqp://${login}@127.0.0.1:${this.#port}/`)
  }

  connect(name: string, url = busUrl(this.#config)): Promise<Bus> {
    return connectBus({
      url,
      queues: this.#config.bus.queues,
      name,
      log: silentLog,
      clock: systemClock,
      ids: systemIds,
      callTimeoutMs: 5_000,
      connectTimeoutMs: 5_000,
    })
  }

  #runtime(_name: string): { runtime: Runtime; stop: () => Promise<void> } {
    const undo: Array<() => Promise<void> | void> = []
    return {
      runtime: {
        config: this.#config,
        log: silentLog,
        clock: systemClock,
        ids: systemIds,
        onStop: (fn) => undo.push(fn),
        die: (e) => {
          throw e
        },
      },
      stop: async () => {
        for (const fn of undo.splice(0).reverse()) await Promise.resolve(fn()).catch(() => undefined)
      },
    }
  }

  async #start(name: 'conductor' | 'scheduler'): Promise<void> {
    const url = this.address()
    const line = await startProxy({ host: url.hostname, port: Number(url.port) })
    url.port = String(line.port)
    const bus = await this.connect(name, url.href)
    const { runtime, stop } = this.#runtime(name)
    await (name === 'conductor' ? startConductor : startScheduler)(runtime, this.#controlled(bus), this.db)
    this.#parts.set(name, {
      async kill() {
        // The line first: answers that are on their way are lost, as with the process. A request that it serves may be the
        // one that kills it, so its end is not awaited.
        line.down()
        void bus.close().catch(() => undefined)
        void stop().then(() => line.close())
      },
    })
  }

  /** A bus on which a case decides what becomes of the messages that lead to a step of the scheduler or the conductor. */
  #controlled(bus: Bus): Bus {
    const serve: Bus['serve'] = (services, options) =>
      bus.serve(
        services.map((service) => ({ ...service, api: this.#fated(service.api) })),
        options,
      )
    return new Proxy(bus, {
      get: (target, key) => {
        const value: unknown = key === 'serve' ? serve : Reflect.get(target, key)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  #fated(api: Served['api']): Served['api'] {
    type Handler = (ctx: unknown, args: { operation: string }) => Promise<unknown>
    const fated =
      (method: 'place' | 'finish', handler: Handler): Handler =>
      async (ctx, args) => {
        const operation = await findOperation(this.db, args.operation)
        const stage = operation && stagesOf(operation.kind)[operation.stage + (method === 'place' ? 0 : 1)]
        const leg = stage?.legs.find(({ at }) => at === (method === 'place' ? 'scheduler' : 'conductor'))
        if (!operation || !leg || operation.undoing) return handler(ctx, args)
        const moment = { kind: operation.kind, step: leg.steps[0]?.name as string, subject: operation.subject.id }
        const fate = await this.control.get(operation.subject.name)?.(moment)
        if (fate === 'killed') throw new Error('killed')
        if (fate === 'lost') return systemClock.sleep(callMs)
        if (fate === 'twice') await handler(ctx, args)
        return handler(ctx, args)
      }
    const { place, finish } = api as unknown as Record<string, Handler>
    return {
      ...api,
      ...(place ? { place: fated('place', place) } : {}),
      ...(finish ? { finish: fated('finish', finish) } : {}),
    } as Served['api']
  }

  /** The end of a daemon, and another life of it. */
  async restart(name: 'conductor' | 'scheduler'): Promise<void> {
    await this.#parts.get(name)?.kill()
    await this.#start(name)
  }

  /** The end of the broker with all that it held, and its return. */
  async restartBroker(): Promise<void> {
    if (this.#line) {
      this.#line.down()
      await systemClock.sleep(200)
      this.#line.up()
    } else {
      await this.#broker?.kill()
      this.#broker = await this.#cloud.daemon('broker')
    }
  }

  /** A compute host in an availability zone of its own kind, with room for a few instances. */
  async host(name: string, availabilityZone: string): Promise<WalkHost> {
    const host = new WalkHost(this, name, availabilityZone)
    this.#hosts.push(host)
    await host.start()
    return host
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.stop()
    for (const part of this.#parts.values()) await part.kill()
    for (const undo of this.#undo.reverse()) await undo()
    await this.#line?.close()
    await this.#cloud.close()
  }
}

/** A RabbitMQ behind a line that can be cut. */
async function proxied(cloud: Cloud): Promise<Line> {
  const url = new URL(cloud.env.NOVA_BUS_URL as string)
  const line = await startProxy({ host: url.hostname, port: Number(url.port) })
  url.port = String(line.port)
  cloud.env.NOVA_BUS_URL = url.href
  return line
}

/** A compute host: a fake hypervisor that stays, and one life of its daemon after another. */
export class WalkHost {
  readonly name: string
  readonly zone: string
  readonly hypervisor: FakeDriver
  /** Called when an executor here has come to a step; the step waits until it resolves. */
  onStep: (moment: Moment) => Promise<void> | void = () => undefined
  /** What becomes of the next announcement of an operation. */
  announcements: 'once' | 'lost' | 'twice' = 'once'
  /** While set, whatever the driver or an image is asked for fails; until the host begins to undo. */
  failing = false
  readonly #walk: WalkCloud
  readonly #hostId = systemIds.uuid()
  readonly #dir = mkdtempSync(join(tmpdir(), 'nw-'))
  #life = { alive: true, silent: Promise.resolve() }
  #bus: Bus | undefined
  /** Cut with the life of the daemon: the broker sees its end at once. */
  #line: Line | undefined
  #stop: (() => Promise<void>) | undefined

  constructor(walk: WalkCloud, name: string, zone: string) {
    this.#walk = walk
    this.name = name
    this.zone = zone
    const resources = { vcpus: 8, memoryMb: 8192, diskGb: 100 }
    this.hypervisor = openFake({ clock: systemClock, ids: systemIds, resources })
  }

  async start(): Promise<void> {
    const life = { alive: true, silent: Promise.resolve() }
    this.#life = life
    const url = this.#walk.address()
    const line = await startProxy({ host: url.hostname, port: Number(url.port) })
    this.#line = line
    url.port = String(line.port)
    const bus = await this.#walk.connect(this.name, url.href)
    this.#bus = bus
    const conductors = new SpokenBy()
    const timeoutMs = callMs
    this.#stop = await startCompute({
      bus: {
        onLink: (listener) => bus.onLink(listener),
        serve: (services, options) => bus.serve(this.#announced(services), options),
      },
      service: 'compute',
      host: this.name,
      hostId: this.#hostId,
      incarnation: systemIds.uuid(),
      availabilityZone: this.zone,
      version: '1',
      driver: this.#mortal(this.hypervisor, life),
      agent: this.#watched(bus.client(agent, { timeoutMs, cap: conductors.cap(agent) }), life),
      computeAgent: this.#spoken(bus.client(computeAgent, { timeoutMs, cap: conductors.cap(computeAgent) }), life),
      conductors,
      clock: mortalClock(life),
      ids: systemIds,
      log: silentLog,
      imageDir: join(this.#dir, 'images'),
      options: {
        heartbeatSeconds: 0.25,
        pingSeconds: 1,
        reportSeconds: 60,
        shutdownTimeout: 1,
        slots: 4,
        minFreeDiskGb: 0,
        migrationAddress: '127.0.0.1',
        migrationPort: 0,
      },
    })
  }

  /** SIGKILL: nothing that this life was about to do or say is done or said. */
  async kill(): Promise<void> {
    this.#life.alive = false
    this.#line?.down()
    void this.#bus?.close().catch(() => undefined)
  }

  /** SIGSTOP for so long, then SIGCONT. */
  silence(ms: number): void {
    this.#life.silent = systemClock.sleep(ms)
  }

  async stop(): Promise<void> {
    if (this.#life.alive) await this.#stop?.().catch(() => undefined)
    await this.#bus?.close().catch(() => undefined)
    await this.#line?.close()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** `run` messages, as the case wants them to arrive. */
  #announced(services: readonly Served[]): Served[] {
    return services.map((service) => {
      const { run, ...others } = service.api as { run(ctx: unknown, args: unknown): Promise<unknown> }
      return {
        ...service,
        api: {
          ...others,
          run: async (ctx: unknown, args: unknown) => {
            const how = this.announcements
            this.announcements = 'once'
            if (how === 'lost') return
            if (how === 'twice') void run(ctx, args)
            await run(ctx, args)
          },
        } as never,
      }
    })
  }

  #spoken<A extends object>(api: A, life: { alive: boolean; silent: Promise<void> }): A {
    return new Proxy(api, {
      get:
        (target, method) =>
        async (...args: unknown[]) => {
          await life.silent
          if (!life.alive) return never
          if (this.failing && method === 'imageRead') throw broken(String(method))
          const answer = await Reflect.apply(Reflect.get(target, method) as () => unknown, target, args)
          await life.silent
          return life.alive ? answer : never
        },
    })
  }

  /** What the host says of its legs; whoever waits for a step hears when it is recorded. */
  #watched(api: Api<typeof agent>, life: { alive: boolean; silent: Promise<void> }): Api<typeof agent> {
    const said = this.#spoken(api, life)
    const kinds = new Map<string, OperationKind>()
    const reach = async (operation: string, step: string, undo: boolean) => {
      const kind = kinds.get(operation)
      // What has failed can be undone.
      if (undo) this.failing = false
      if (kind !== undefined && !undo) await this.onStep({ kind, step, host: this })
      await life.silent
      return life.alive ? undefined : never
    }
    return {
      ...(Object.fromEntries(
        Object.keys(agent.methods).map((name) => [name, Reflect.get(said, name)]),
      ) as unknown as Api<typeof agent>),
      claim: async (ctx, args, options) => {
        const work: Work = await said.claim(ctx, args, options)
        const again = kinds.has(`${work.operation.id} ${work.operation.steps[0]}`)
        kinds.set(work.operation.id, work.operation.kind as OperationKind)
        kinds.set(`${work.operation.id} ${work.operation.steps[0]}`, work.operation.kind as OperationKind)
        if (!again) await reach(work.operation.id, work.operation.steps[0] as string, work.operation.undo)
        return work
      },
      step: async (ctx, args, options) => {
        const answer = await said.step(ctx, args, options)
        if (args.result === undefined) await reach(args.operation, args.step, args.undo ?? false)
        return answer
      },
    }
  }

  /** The hypervisor as one life of the daemon sees it. */
  #mortal(driver: FakeDriver, life: { alive: boolean; silent: Promise<void> }): Driver {
    return new Proxy(driver, {
      get: (target, key) => {
        const method = Reflect.get(target, key) as unknown
        if (typeof method !== 'function') return method
        if (['onPower', 'copies', 'close'].includes(String(key))) return method.bind(target)
        return async (...args: unknown[]) => {
          await life.silent
          if (!life.alive) return never
          if (this.failing && !['power', 'resources'].includes(String(key))) throw broken(String(key))
          const done = await Reflect.apply(method, target, args)
          return life.alive ? done : never
        }
      },
    })
  }
}

const broken = (action: string) => new Failure('DriverFailed', { action, why: 'the test says so' })

/** A clock whose alarms ring in one life only. */
const mortalClock = (life: { alive: boolean }): Clock => ({
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms, signal).then(() => (life.alive ? undefined : never)),
  after: (ms, fn) => systemClock.after(ms, () => life.alive && fn()),
})
