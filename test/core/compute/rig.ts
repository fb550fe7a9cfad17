import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { type Engine, openEngine } from '../../../src/core/agent/engine.ts'
import { heartbeats } from '../../../src/core/agent/heartbeat.ts'
import { type Clock, systemClock } from '../../../src/core/base/clock.ts'
import { KeyedMutex } from '../../../src/core/base/concurrency.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { ComputeDeps } from '../../../src/core/compute/deps.ts'
import { openImages } from '../../../src/core/compute/images.ts'
import { startCompute } from '../../../src/core/compute/start.ts'
import { openTransfers } from '../../../src/core/compute/transfer.ts'
import { computeService } from '../../../src/core/compute/verbs/index.ts'
import type { compute } from '../../../src/core/contracts/compute.ts'
import { serviceContext } from '../../../src/core/model/context.ts'
import type { Bus } from '../../../src/core/rpc/bus.ts'
import type { Api } from '../../../src/core/rpc/contract.ts'
import { SpokenBy } from '../../../src/core/rpc/versions.ts'
import type { Driver, Guest } from '../../../src/core/virt/driver.ts'
import { type FakeDriver, openFake } from '../../../src/core/virt/fake/driver.ts'
import { nics, StandIn } from './stand-in.ts'

export const ctx = serviceContext('test', 'req-test')

/** A guest as a driver knows it. */
export const guest = (id: string): Guest => ({
  id,
  name: 'web',
  size: { vcpus: 1, memoryMb: 64, diskGb: 1 },
  metadata: {},
  userData: undefined,
  publicKey: undefined,
  generation: 1,
  nics,
  disks: [],
})

const begun = systemClock.now()
/** A clock that runs fifty times as fast as the world: backoffs and graces cost a test next to nothing. */
const fastClock: Clock = {
  now: () => begun + (systemClock.now() - begun) * 50,
  after: (ms, fn) => systemClock.after(ms / 50, fn),
  sleep: (ms, signal) => systemClock.sleep(ms / 50, signal),
}

export async function temporaryDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'nova-compute-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Stops an action of the driver where it begins, until the test lets it go on. */
export type Stops = {
  driver: Driver
  /** From now on the action stops; `reached` resolves when one does. */
  at(action: keyof Driver, heeds?: 'signal' | 'nothing'): { reached: Promise<void>; go(): void }
  /** The actions that were begun, in order. */
  readonly actions: string[]
}

function withStops(fake: FakeDriver): Stops {
  const actions: string[] = []
  const stops = new Map<string, { heeds: string; reach: () => void; gone: Promise<void> }>()
  const watched = ['createDisk', 'start', 'stop', 'reboot', 'pause', 'unpause', 'suspend', 'resume', 'destroy']
  watched.push('exportDisk', 'importDisk')
  const driver = new Proxy(fake, {
    get(target, key) {
      const method = Reflect.get(target, key) as unknown
      if (typeof method !== 'function') return method
      if (!watched.includes(String(key))) return method.bind(target)
      return async (...args: unknown[]) => {
        actions.push(String(key))
        const stop = stops.get(String(key))
        const signal = args.find((arg): arg is AbortSignal => arg instanceof AbortSignal)
        if (stop) {
          stop.reach()
          const aborted = new Promise<void>((resolve) => {
            if (stop.heeds === 'signal') signal?.addEventListener('abort', () => resolve())
          })
          await Promise.race([stop.gone, aborted])
        }
        return await Reflect.apply(method, target, args)
      }
    },
  })
  return {
    driver,
    actions,
    at(action, heeds = 'signal') {
      let go = () => {}
      let reach = () => {}
      const gone = new Promise<void>((resolve) => {
        go = resolve
      })
      const reached = new Promise<void>((resolve) => {
        reach = resolve
      })
      stops.set(action, { heeds, reach, gone })
      return {
        reached,
        go() {
          stops.delete(action)
          go()
        },
      }
    },
  }
}

export type Rig = Awaited<ReturnType<typeof newRig>>
export type Life = { engine: Engine; deps: ComputeDeps; kill(): Promise<void> }

/** A conductor's stand-in, a fake hypervisor, and as many lives of a host's daemon as a test wants. */
export async function newRig(conductor = new StandIn(fastClock), host = 'h1') {
  const clock = fastClock
  const fake = openFake({ clock, ids: systemIds })
  const stops = withStops(fake)
  const imageDir = await temporaryDirectory()
  const deps = (): ComputeDeps => ({
    service: 'compute',
    host,
    hostId: `id of ${host}`,
    incarnation: systemIds.uuid(),
    availabilityZone: 'nova',
    version: '1',
    driver: stops.driver,
    agent: conductor.agent(),
    computeAgent: conductor.computeAgent(),
    conductors: new SpokenBy(),
    clock,
    ids: systemIds,
    log: silentLog,
    imageDir,
    options: {
      heartbeatSeconds: 10,
      pingSeconds: 10,
      reportSeconds: 60,
      shutdownTimeout: 60,
      slots: 8,
      minFreeDiskGb: 0,
      migrationAddress: '127.0.0.1',
      migrationPort: 0,
    },
  })
  /** An engine that has joined, and hears what the conductor tells this host. */
  const life = async (change: Partial<ComputeDeps> = {}): Promise<Life> => {
    const mortal = mortalDeps({ ...deps(), ...change })
    const mine = mortal.deps
    const transfers = openTransfers(mine)
    const { driver, log } = mine
    const tools = { driver, images: await openImages(mine), transfers, shutdownMs: 60_000, log }
    const engine = openEngine(mine, computeService(tools), new KeyedMutex())
    engine.open()
    conductor.hosts.set(host, (operation) => void engine.run(ctx, operation))
    return {
      engine,
      deps: mine,
      async kill() {
        mortal.die()
        await Promise.all([engine.stop(), transfers.close()])
      },
    }
  }
  return { clock, conductor, fake, stops, imageDir, host, deps, life }
}

/** A heartbeat of this life, as the daemon's own would be. */
export const beat = ({ engine, deps }: Pick<Life, 'engine' | 'deps'>, lost: () => void = () => undefined) =>
  heartbeats(deps, engine, { lastPongAt: undefined }, {}, { stranger: (e) => expect.fail(String(e)), lost })()

/** A daemon that can be killed: from then on it says nothing, and does nothing to its guests. */
function mortalDeps(deps: ComputeDeps): { deps: ComputeDeps; die: () => void } {
  let dead = false
  const mortal = <T extends object>(one: T): T =>
    new Proxy(one, {
      get(target, key) {
        const method = Reflect.get(target, key) as unknown
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          const gone = () => Promise.reject(new Failure('HostUnreachable', { target: 'anybody' }))
          if (dead) return gone()
          const result = Reflect.apply(method, target, args)
          // What was under way ends, and nobody goes on from there.
          return result instanceof Promise ? result.then((value) => (dead ? gone() : value)) : result
        }
      },
    })
  const { driver, agent, computeAgent } = deps
  return {
    deps: { ...deps, driver: mortal(driver), agent: mortal(agent), computeAgent: mortal(computeAgent) },
    die() {
      dead = true
    },
  }
}

/** The side of the bus that a host sees, without a wire. */
export function newBus() {
  const links = new Set<(up: boolean) => void>()
  const served: Array<Api<typeof compute>> = []
  const bus: Pick<Bus, 'serve' | 'onLink'> = {
    async serve(services) {
      served.push(services[0]!.api as unknown as Api<typeof compute>)
      return { stop: async () => void served.pop(), lastPongAt: undefined }
    },
    onLink(listener) {
      links.add(listener)
      return () => links.delete(listener)
    },
  }
  const link = (up: boolean) => {
    for (const listener of links) listener(up)
  }
  return { bus, served, link }
}

/** A whole daemon of a host, which hears what the conductor tells it; stopped at the end of the test. */
export async function started(rig: Rig, more: { fatal?: (e: unknown) => void } = {}) {
  const { bus, served, link } = newBus()
  const mortal = mortalDeps(rig.deps())
  const { deps } = mortal
  const { hosts } = rig.conductor
  const hears = (operation: string) => void served[0]?.run(ctx, { operation })
  hosts.set(rig.host, hears)
  const stopDaemon = await startCompute({ ...deps, bus, ...more })
  const stop = () => {
    if (hosts.get(rig.host) === hears) hosts.delete(rig.host)
    return stopDaemon()
  }
  let killed = false
  onTestFinished(async () => {
    if (!killed) await stop()
  })
  const kill = async () => {
    killed = true
    mortal.die()
    // It goes on in this process, but is heard of no more.
    await stop().catch(() => undefined)
  }
  return { deps, stop, kill, link, host: served[0]!, served }
}

/** A guest that is at rest on this host, known to the conductor. */
export async function put(
  { conductor, fake, host }: Rig,
  power: 'RUNNING' | 'SHUTDOWN',
  id = conductor.newInstance('RUNNING', power === 'RUNNING' ? 'ACTIVE' : 'SHUTOFF', host),
): Promise<string> {
  await fake.createDisk(guest(id), { disk: undefined, kernel: '/kernel', ramdisk: undefined })
  if (power === 'RUNNING') await fake.start(guest(id))
  return id
}
