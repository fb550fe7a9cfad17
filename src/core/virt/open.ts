import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { fail, reason } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Driver } from './driver.ts'
import type { FakeOptions } from './fake/driver.ts'

/** Which driver, and what it may be told. */
export type DriverOptions = {
  /** `qemu`, `fake`, or the name of a package that exports an {@link OpenDriver} as `openDriver`. */
  name: string
  /** What the driver keeps on this host lies below. */
  stateDir: string
  accelerator: 'auto' | 'kvm' | 'tcg'
  /** The hypervisor's name of the processor that guests see; empty: the driver's choice. */
  cpuModel: string
  /** Where this machine's hosts and `nova doctor` remember whether KVM can run guests; below `stateDir` if nothing is said. */
  acceleratorFile?: string | undefined
  /** Users that guests run as, if this process is root; absent: guests are this process's user. */
  guestUids?: { base: number; count: number }
  fake: Pick<FakeOptions, 'resources' | 'latencyMs'>
}

/** What a driver leans on. */
export type DriverDeps = { log: Log; clock: Clock; ids: Ids }

/** How a package brings a driver of its own. */
type OpenDriver = (options: DriverOptions, deps: DriverDeps) => Driver | Promise<Driver>

const ours: Readonly<Record<string, () => Promise<OpenDriver>>> = {
  async qemu() {
    const { openQemu } = await import('./qemu/driver.ts')
    return ({ stateDir, accelerator, acceleratorFile, cpuModel, guestUids: uids }, { log, clock }) =>
      openQemu({ stateDir, accelerator, acceleratorFile, cpuModel, uids, log, clock })
  },
  async fake() {
    const { openFake } = await import('./fake/driver.ts')
    return ({ stateDir, fake }, { clock, ids }) => openFake({ ...fake, clock, ids, stateFile: fakeFile(stateDir) })
  },
}

/** Loads the driver that the configuration names, and no other. `ConfigInvalid` if there is none of that name. */
export async function openDriver(options: DriverOptions, deps: DriverDeps): Promise<Driver> {
  const load = ours[options.name] ?? (() => loadPlugin(options.name))
  return (await load())(options, deps)
}

/** How many guests each of our drivers keeps below a host's directory, without opening any driver. Drivers with none are left out. */
export async function guestsKept(stateDir: string): Promise<Array<{ driver: string; guests: number }>> {
  const [{ guestsIn }, { FakeStore }] = await Promise.all([import('./qemu/paths.ts'), import('./fake/store.ts')])
  const kept = [
    { driver: 'qemu', guests: await guestsIn(stateDir) },
    { driver: 'fake', guests: new FakeStore(fakeFile(stateDir)).guests.size },
  ]
  return kept.filter(({ guests }) => guests > 0)
}

const fakeFile = (stateDir: string): string => join(stateDir, 'guests.jsonl')

async function loadPlugin(name: string): Promise<OpenDriver> {
  if (name === 'kvm' || name === 'tcg')
    fail('ConfigInvalid', {
      key: 'compute.driver',
      value: name,
      allowed: `qemu, fake or an installed driver package; ${name} is an accelerator of qemu`,
      source: 'driver',
      hint: `nova up --driver qemu --set compute.accelerator=${name}`,
    })
  const refuse = (why: string, cause?: unknown): never =>
    fail(
      'ConfigInvalid',
      {
        key: 'compute.driver',
        value: name,
        allowed: `qemu, fake or an installed driver package (${why})`,
        source: 'driver',
      },
      cause,
    )
  let plugin: { openDriver?: unknown }
  try {
    plugin = (await import(name)) as { openDriver?: unknown }
  } catch (e) {
    return refuse(reason(e).split('\n')[0] ?? '', e)
  }
  if (typeof plugin.openDriver !== 'function') return refuse('it exports no openDriver')
  return plugin.openDriver as OpenDriver
}
