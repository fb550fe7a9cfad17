import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { vi } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { randomMac, systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { Driver, Guest, ImageFiles } from '../../../src/core/virt/driver.ts'
import type { FakeDriver } from '../../../src/core/virt/fake/driver.ts'
import { type DriverOptions, openDriver } from '../../../src/core/virt/open.ts'
import { guestPaths, withShortPath } from '../../../src/core/virt/qemu/paths.ts'
import type { DaemonOrder } from '../../kit/driver-daemon.ts'
import { qemu } from '../../kit/qemu.ts'

/** A driver under the contract, and what the suite must do differently for each. */
export type Harness = {
  name: string
  image: ImageFiles
  options: (stateDir: string) => DriverOptions
  /** What the guest's console tells of its metadata when it has booted. */
  banner: (guest: Guest) => string[]
  /** Makes the guest do this by itself, from inside. */
  byItself: (driver: Driver, stateDir: string, id: string, what: 'shutdown' | 'crash') => Promise<void>
  /** Notes a word in the guest's memory. */
  remember: (stateDir: string, id: string, word: string) => Promise<void>
  /** Fails where the guest's memory does not have that word any more. */
  recall: (driver: Driver, stateDir: string, id: string, word: string) => Promise<void>
}

/** Some of the default ones; in use only where the tests run as root. */
export const guestUids = { base: 1_879_048_192, count: 1000 }

const deps = { log: silentLog, clock: systemClock, ids: systemIds }

const fake: Harness = {
  name: 'fake',
  image: { disk: undefined, kernel: '/no/kernel', ramdisk: undefined },
  options: (stateDir) => ({ name: 'fake', stateDir, accelerator: 'auto', cpuModel: '', fake: { latencyMs: 1 } }),
  banner: ({ id, name, nics }) => ['there is no machine here', `host=${name} instance=${id}`, `eth0: ${nics[0]?.mac}`],
  byItself: async (driver, _stateDir, id, what) => (driver as FakeDriver).simulate(id, what),
  remember: async () => undefined,
  recall: async () => undefined,
}

/** Types a line on the guest's serial console. */
export const type = (stateDir: string, id: string, line: string): Promise<void> =>
  withShortPath(guestPaths(stateDir, id).serial, async (path) => {
    const socket = createConnection(path)
    await once(socket, 'connect')
    // What the guest answers is read from its log.
    socket.resume()
    socket.end(`${line}\n`)
    await once(socket, 'close')
  })

const inQemu = (kernel: string, ramdisk: string): Harness => ({
  name: 'qemu',
  image: { disk: undefined, kernel, ramdisk },
  options: (stateDir) => ({ name: 'qemu', stateDir, accelerator: 'tcg', cpuModel: '', guestUids, fake: {} }),
  banner: ({ id }) => [
    `host=web-1 instance=${id} address=10.0.2.15`,
    'ssh keys: 1',
    'user data: a script, running it',
    // The kernel may print a line of its own between the two.
    'user data ran on web-1',
  ],
  byItself: (_driver, stateDir, id, what) =>
    type(stateDir, id, what === 'crash' ? 'echo c >/proc/sysrq-trigger' : 'poweroff -f'),
  remember: (stateDir, id, word) => type(stateDir, id, `kept=${word}`),
  async recall(driver, stateDir, id, word) {
    await type(stateDir, id, 'echo "it has <$kept>"')
    await printed(driver, id, `it has <${word}>`)
  },
})

const guest = await qemu()
/** The drivers that can be tried on this machine. */
export const harnesses: Harness[] = guest ? [fake, inQemu(guest.kernel, guest.ramdisk)] : [fake]

export const aGuest = (change: Partial<Guest> = {}): Guest => ({
  id: systemIds.uuid(),
  name: 'Web 1',
  size: { vcpus: 1, memoryMb: 128, diskGb: 0 },
  metadata: { role: 'test' },
  userData: Buffer.from('#!/bin/sh\necho "user data ran on $(hostname)"\n').toString('base64'),
  publicKey: 'ssh-ed25519 AAAAC3Nza tester@nova',
  generation: 1,
  nics: [{ id: systemIds.uuid(), mac: randomMac(systemIds) }],
  disks: [],
  ...change,
})

export const open = async (harness: Harness, stateDir: string): Promise<Driver> => {
  const driver = await openDriver(harness.options(stateDir), deps)
  await driver.init()
  return driver
}

const count = (text: string, word: string): number => text.split(word).length - 1

/** How often the guest has booted to its end, as its console tells. */
export const boots = async (driver: Driver, id: string): Promise<number> =>
  count(await driver.consoleLog(id), 'GUEST-READY')

/** Waits until the guest has printed `text` that many times. */
export async function printed(driver: Driver, id: string, text: string, times = 1): Promise<void> {
  await vi.waitFor(
    async () => {
      const log = await driver.consoleLog(id)
      if (count(log, text) < times) throw new Error(`"${text}" is not there ${times} times in:\n${log.slice(-2000)}`)
    },
    { timeout: 90_000, interval: 50 },
  )
}

/** Runs the actions in a process of their own and kills it with SIGKILL when it prints `until` and `killNow` resolves. */
export async function killedDaemon(
  order: DaemonOrder,
  until = 'done',
  killNow: () => Promise<unknown> = async () => undefined,
): Promise<void> {
  const script = join(import.meta.dirname, '..', '..', 'kit', 'driver-daemon.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  for await (const line of createInterface(child.stdout)) if (line === until) break
  await killNow()
  child.kill('SIGKILL')
  await exited
}
