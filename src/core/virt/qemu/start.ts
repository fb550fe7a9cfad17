import { rename, rm, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { assert } from '../../base/errors.ts'
import type { Guest } from '../driver.ts'
import { checkGeneration } from '../generation.ts'
import type { Accelerators } from './accelerators.ts'
import { type Accelerator, defaultCpu, machineFiles, qemuArguments } from './arguments.ts'
import { guestLimits } from './cgroup-limits.ts'
import { isoImage } from './config-drive.ts'
import { readLog } from './console.ts'
import { exists } from './disk.ts'
import { type Hardware, newHardware } from './hardware.ts'
import type { QemuHost } from './host.ts'
import { kvmTrouble } from './kvm-trouble.ts'
import { canContinue, type Machine, runState } from './machine.ts'
import { metadataFiles } from './metadata.ts'
import type { GuestPaths } from './paths.ts'
import { startMachine } from './process.ts'
import { type GuestRecord, readRecord, writeRecord } from './record.ts'
import { kvmGroups } from './users.ts'
import { within } from './wait.ts'

/** What a start leans on besides the host. */
export type StartDeps = {
  host: QemuHost
  binary: string
  accelerators: Accelerators
  /** The configured one, or empty. */
  cpuModel: string
}

/** cloud-init and its kin find the config drive by this volume name. */
const configDriveLabel = 'config-2'

/**
 * Makes the guest run: nothing to do if it runs; it goes on if it stands still; it takes up its saved memory if
 * it was suspended; else it boots. At no moment are there two machines of one guest.
 */
export async function startGuest(deps: StartDeps, guest: Guest, signal?: AbortSignal): Promise<void> {
  const { host } = deps
  const paths = host.paths(guest.id)
  const record = await readRecord(paths)
  if (!record) throw new Error('it has no disk on this host')
  checkGeneration(record.guest, guest)
  const machine = await host.machine(guest.id)
  if (machine && (await goOn(host, machine, paths))) return
  await checkFiles(record, paths)
  const wanted: GuestRecord = { ...record, guest }
  await writeRecord(paths, wanted)
  signal?.throwIfAborted()
  await bootGuest(deps, wanted, paths, signal)
}

/** Fails if a file that the guest needs is gone: QEMU would start it without, or say so in words of its own. */
export async function checkFiles({ disk, image, guest }: GuestRecord, paths: GuestPaths): Promise<void> {
  if (disk && !(await exists(paths.disk))) throw new Error('its disk is not on this host')
  for (const volume of guest.disks) {
    if (!(await exists(volume.path))) throw new Error(`its volume ${volume.id} is not on this host`)
  }
  for (const path of [disk ? image.disk?.path : undefined, image.kernel, image.ramdisk]) {
    if (path === undefined || (await exists(path))) continue
    // The cache names its files by their checksum; where the cache lies is nobody's business.
    throw new Error(`its image is not on this host any more: file ${basename(path)} must be fetched again`)
  }
}

/** Resumes a suspended guest; a guest whose memory is not there is not started afresh. */
export async function resumeGuest(deps: StartDeps, guest: Guest, signal?: AbortSignal): Promise<void> {
  const { host } = deps
  const paths = host.paths(guest.id)
  if (!(await exists(paths.memory)) && !(await host.machine(guest.id))) {
    throw new Error('its memory was not saved on this host')
  }
  await startGuest(deps, guest, signal)
}

/** Makes a machine that is there run. False if it cannot: then it has ended. */
async function goOn(host: QemuHost, machine: Machine, paths: GuestPaths): Promise<boolean> {
  let state: string
  try {
    state = await runState(machine.qmp)
  } catch (e) {
    // It was about to end when we looked.
    if (await within(host.clock, 1_000, machine.ended)) return false
    throw e
  }
  if (state === 'running') return true
  // Its memory has been saved whole, and only its end was missed: the file is what counts.
  const handedOver = state === 'postmigrate' && (await exists(paths.memory))
  if (handedOver || !canContinue(state)) {
    await host.kill(machine.id)
    return false
  }
  await release(machine, paths)
  return true
}

/**
 * Lets a machine run that stands still. The saved memory goes first: from the first moment that the guest runs it no
 * longer fits the disk.
 */
async function release(machine: Machine, paths: GuestPaths): Promise<void> {
  await rm(paths.memory, { force: true })
  await machine.qmp.execute('cont')
}

/**
 * Starts the machine of a guest that has none. If it ends at once because of KVM itself, it is started under TCG; but not
 * a guest that was suspended, whose memory fits only the processor that it was saved from.
 */
async function bootGuest(deps: StartDeps, record: GuestRecord, paths: GuestPaths, signal?: AbortSignal): Promise<void> {
  const { host, accelerators } = deps
  const { accelerator } = await accelerators.current()
  try {
    await launchGuest(deps, record, accelerator, signal)
  } catch (e) {
    signal?.throwIfAborted()
    const trouble = accelerator === 'kvm' ? kvmTrouble(await readLog(paths.log)) : undefined
    if (!trouble || accelerators.insistsOnKvm || (await exists(paths.memory))) throw e
    if (trouble.lasting) await accelerators.giveUpKvm(trouble.why)
    host.log.warn({ instance: record.guest.id, why: trouble.why }, 'KVM did not start a guest; it is started under TCG')
    await rename(paths.log, paths.kvmLog)
    await launchGuest(deps, record, 'tcg', signal)
  }
}

/** Starts the machine of a guest that has none, with that accelerator. */
export async function launchGuest(
  { host, binary, cpuModel }: StartDeps,
  record: GuestRecord,
  accelerator: Accelerator,
  signal?: AbortSignal,
): Promise<void> {
  const { guest, image, disk } = record
  const paths = host.paths(guest.id)
  const suspended = await exists(paths.memory)
  const hardware = suspended
    ? savedHardware(record, accelerator)
    : newHardware(guest, cpuModel || defaultCpu[accelerator])
  // Of a suspend that was not finished.
  await rm(`${paths.memory}.part`, { force: true })
  if (!suspended) await writeConfigDrive(guest, paths)
  await rm(paths.crashed, { force: true })
  const spec = {
    guest,
    hardware,
    image,
    hasDisk: disk,
    accelerator,
    paths,
    resumes: suspended,
  }
  await writeRecord(paths, { ...record, accelerator, hardware })
  const groups = accelerator === 'kvm' ? await kvmGroups() : []
  const command = await host.users.guest(paths, groups, binary, qemuArguments(spec))
  const procs = await host.cgroups.make(paths, guestLimits(hardware, accelerator))
  const pid = await startMachine(command, machineFiles(spec), paths, procs)
  try {
    const machine = await host.attach(guest.id, pid, signal)
    if (suspended) {
      await memoryLoaded(host, machine, signal)
      await release(machine, paths)
    }
    signal?.throwIfAborted()
  } catch (e) {
    // Not half started: a repetition begins from the start, from the saved memory if there is one.
    await host.kill(guest.id)
    throw e
  }
}

/** The machine that the memory of a suspended guest was saved from. */
function savedHardware({ hardware, accelerator: before }: GuestRecord, accelerator: Accelerator): Hardware {
  // The processor is not the same, so the guest would go on as a wreck or not at all.
  if (before !== undefined && before !== accelerator) {
    throw new Error(`its memory was saved under ${before}, and this host runs guests under ${accelerator} now`)
  }
  assert(hardware, 'a guest that was suspended had been booted')
  return hardware
}

async function memoryLoaded(host: QemuHost, machine: Machine, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    signal?.throwIfAborted()
    const state = await runState(machine.qmp)
    if (state !== 'inmigrate') return
    if (await within(host.clock, 20, machine.ended, signal)) throw new Error('its saved memory could not be taken up')
  }
}

/** Written again at each boot, because the name may have changed; never under a machine that runs. */
async function writeConfigDrive(guest: Guest, paths: GuestPaths): Promise<void> {
  await writeFile(`${paths.configDrive}.part`, isoImage(configDriveLabel, metadataFiles(guest)), { mode: 0o600 })
  await rename(`${paths.configDrive}.part`, paths.configDrive)
}
