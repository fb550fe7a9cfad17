import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../../../src/core/base/clock.ts'
import { KeyedMutex } from '../../../src/core/base/concurrency.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { ComputeDeps } from '../../../src/core/compute/deps.ts'
import { type Engine, openEngine } from '../../../src/core/compute/engine.ts'
import { openImages } from '../../../src/core/compute/images.ts'
import { serviceContext } from '../../../src/core/model/context.ts'
import { SpokenBy } from '../../../src/core/rpc/versions.ts'
import type { Driver, Guest } from '../../../src/core/virt/driver.ts'
import { type FakeDriver, openFake } from '../../../src/core/virt/fake/driver.ts'
import { StandIn } from './stand-in.ts'

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

/** A conductor's stand-in, a fake hypervisor, and as many lives of the host's daemon as a test wants. */
export async function newRig() {
  const clock = fastClock
  const conductor = new StandIn(clock)
  const fake = openFake({ clock, ids: systemIds })
  const stops = withStops(fake)
  const imageDir = await temporaryDirectory()
  const deps = (): ComputeDeps => ({
    host: 'h1',
    hostId: 'id-1',
    incarnation: systemIds.uuid(),
    availabilityZone: 'nova',
    version: '1',
    driver: stops.driver,
    agent: conductor.agent(),
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
    },
  })
  /** A daemon that has joined. */
  const life = async (): Promise<{ engine: Engine; deps: ComputeDeps }> => {
    const mine = deps()
    const tools = { driver: mine.driver, images: await openImages(mine), graceMs: 60_000 }
    const engine = openEngine(mine, tools, new KeyedMutex())
    engine.open()
    return { engine, deps: mine }
  }
  return { clock, conductor, fake, stops, imageDir, deps, life }
}
