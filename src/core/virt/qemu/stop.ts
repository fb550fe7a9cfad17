import { rename, rm } from 'node:fs/promises'
import type { Guest } from '../driver.ts'
import { checkGeneration } from '../generation.ts'
import type { QemuHost } from './host.ts'
import { type Machine, runState } from './machine.ts'
import { readRecord } from './record.ts'
import { checkFiles, type StartDeps, startGuest } from './start.ts'
import { within } from './wait.ts'

/** The power button is pressed again after this time, in ms: a guest that is just booting misses the first. */
const pressAgainMs = 5_000

/** Asks the guest to power off. True if its machine ended within `graceMs`. */
async function askToPowerOff(
  host: QemuHost,
  machine: Machine,
  graceMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const until = host.clock.now() + graceMs
  try {
    // A guest that stands still hears nothing.
    if ((await runState(machine.qmp)) === 'paused') await machine.qmp.execute('cont')
    for (let left = graceMs; left > 0; left = until - host.clock.now()) {
      await machine.qmp.execute('system_powerdown')
      if (await within(host.clock, Math.min(left, pressAgainMs), machine.ended, signal)) return true
    }
    return false
  } catch (e) {
    if (signal?.aborted) throw e
    host.log.warn({ instance: machine.id, err: e }, 'cannot ask the guest to power off')
    return within(host.clock, 1_000, machine.ended)
  }
}

/** The guest's machine, or undefined; one that does not talk is ended. */
async function talkingMachine(host: QemuHost, id: string): Promise<Machine | undefined> {
  try {
    return await host.machine(id)
  } catch (e) {
    host.log.warn({ instance: id, err: e }, 'a machine does not talk; it is ended')
    await host.kill(id)
    return undefined
  }
}

/** Ends the guest, gently within `graceMs` and by force after. A guest that was suspended loses its saved memory. */
export async function stopGuest(host: QemuHost, id: string, graceMs: number, signal?: AbortSignal): Promise<void> {
  const machine = await talkingMachine(host, id)
  if (machine && graceMs > 0) await askToPowerOff(host, machine, graceMs, signal)
  await host.kill(id)
  const paths = host.paths(id)
  await rm(paths.memory, { force: true })
  await rm(paths.crashed, { force: true })
}

/** Boots the guest on a new machine, whatever it was doing. */
export async function rebootGuest(
  deps: StartDeps,
  guest: Guest,
  kind: 'soft' | 'hard',
  graceMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const { host } = deps
  const paths = host.paths(guest.id)
  const record = await readRecord(paths)
  checkGeneration(record?.guest, guest)
  // Before its power is cut: of a disk that was removed, the machine that runs has the last copy.
  if (record) await checkFiles(record, paths)
  if (kind === 'soft') {
    const machine = await talkingMachine(host, guest.id)
    const running = machine && (await runState(machine.qmp).catch(() => 'none')) === 'running'
    if (running) await askToPowerOff(host, machine, graceMs, signal)
  }
  // Not a reset of the machine that is there: a machine that hangs would stay so, and nothing new would be picked up.
  await host.kill(guest.id)
  await rm(paths.memory, { force: true })
  await startGuest(deps, guest, signal)
}

/** Ends the guest and removes its directory, under another name first, so that no half of a guest is ever found. */
export async function destroyGuest(host: QemuHost, id: string): Promise<void> {
  await host.kill(id)
  const { dir } = host.paths(id)
  await rename(dir, `${dir}.gone`).catch((e: NodeJS.ErrnoException) => {
    if (e.code !== 'ENOENT' && e.code !== 'ENOTEMPTY') throw e
  })
  await rm(dir, { recursive: true, force: true })
  await rm(`${dir}.gone`, { recursive: true, force: true })
}
