import { mkdirSync, realpathSync } from 'node:fs'
import { mkdir, readdir, rename, rm, statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { every } from '../../base/clock.ts'
import { fail } from '../../base/errors.ts'
import type { Driver, Guest, GuestSeen, ImageFiles, Resources } from '../driver.ts'
import { checkGeneration } from '../generation.ts'
import { checkCreatable } from '../image.ts'
import { acceleratorFile } from './accelerator.ts'
import { openAccelerators } from './accelerators.ts'
import { guestLimits } from './cgroup-limits.ts'
import { readConsole } from './console.ts'
import { checkCpuModel } from './cpu.ts'
import { checkImage, createDisk, exists } from './disk.ts'
import { exportGuest } from './export.ts'
import { QemuHost, type QemuOptions } from './host.ts'
import { ImageChecks } from './image-check.ts'
import { Imports } from './import.ts'
import { lastWords } from './machine.ts'
import { type GuestPaths, instancesDir, isInstanceId } from './paths.ts'
import { pauseGuest, unpauseGuest } from './pause.ts'
import { defaultBinary, defaultQemuImg, findQemu } from './probe.ts'
import { findMachines } from './process.ts'
import { QemuImg } from './qemu-img.ts'
import { hasDisk, readRecord, writeRecord } from './record.ts'
import { rescueGuest } from './rescue.ts'
import { resumeGuest, type StartDeps, startGuest } from './start.ts'
import { destroyGuest, rebootGuest, stopGuest } from './stop.ts'
import { suspendGuest } from './suspend.ts'

/** How often a host with machines sees to it that their logs are kept from filling the disk, in ms. */
const keeperEveryMs = 30_000

/** Machines of QEMU's own: each guest a process that lives on when the daemon ends, spoken to by its QMP socket. */
export function openQemu(options: QemuOptions): Driver {
  const { log, clock, cpuModel, qemuBinary = defaultBinary, qemuImg = defaultQemuImg } = options
  // One name for it, whichever way it is reached: machines are known by the path of their directory.
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 })
  const stateDir = realpathSync(options.stateDir)
  const host = new QemuHost({ ...options, stateDir })
  const installation = once(() => readInstallation(qemuBinary, qemuImg))
  const file = options.acceleratorFile ?? acceleratorFile(stateDir)
  const accelerators = openAccelerators(
    options.accelerator,
    async () => {
      const { hypervisorVersion } = await installation()
      return { binary: qemuBinary, qemuVersion: hypervisorVersion, file, device: options.kvmDevice }
    },
    log,
  )
  const deps: StartDeps = { host, binary: qemuBinary, accelerators, cpuModel }
  const tool = new QemuImg(qemuImg, host)
  const making = { host, qemuImg: tool, checks: new ImageChecks(tool) }
  const imports = new Imports(host, tool)
  let stopKeeping: (() => Promise<void>) | undefined
  return {
    name: 'qemu',
    async init() {
      // A host that could run nothing says so at once, and does not join the cloud.
      await installation()
      await host.users.check()
      await host.cgroups.open()
      const { accelerator, why } = await accelerators.current()
      if (accelerators.insistsOnKvm && accelerator !== 'kvm') fail('DriverFailed', { action: 'use KVM', why })
      await checkCpuModel(qemuBinary, cpuModel)
      host.open((id, ended) => rescueGuest(deps, id, ended))
      await takeUp(host)
      await imports.sweep()
      const keep = async () => {
        if (host.attached().length > 0) await host.keeper.ensure()
      }
      stopKeeping ??= every(clock, keeperEveryMs, keep, (err) =>
        log.warn({ err }, 'nobody keeps the logs of guests small'),
      )
    },
    async close() {
      await imports.close()
      await host.close()
      await host.cgroups.close()
      await stopKeeping?.()
      stopKeeping = undefined
      if ((await findMachines(stateDir)).size === 0) await host.keeper.end()
    },
    async resources() {
      const { accelerator, why } = await accelerators.current()
      const { answer: cgroups } = host.cgroups
      const chosen = { accelerator, acceleratorWhy: why, ...(cgroups && { cgroups }) }
      return { ...(await installation()), ...chosen, ...(await hostResources(stateDir)) }
    },
    list: () => listGuests(host),
    power: (id) => host.power(id),
    checkImage: (image, signal) => checkImage(making.checks, image, signal),
    createDisk: (guest, image, signal) =>
      host.action(guest.id, 'create the disk', () => makeDisk(making, guest, image, signal), signal),
    start: (guest, signal) => host.action(guest.id, 'start the guest', () => startGuest(deps, guest, signal), signal),
    stop: (id, graceMs, signal) =>
      host.action(id, 'stop the guest', () => stopGuest(host, id, graceMs, signal), signal),
    reboot: (guest, kind, graceMs, signal) =>
      host.action(guest.id, 'reboot the guest', () => rebootGuest(deps, guest, kind, graceMs, signal), signal),
    pause: (id) => host.action(id, 'pause the guest', () => pauseGuest(host, id)),
    unpause: (id) => host.action(id, 'unpause the guest', () => unpauseGuest(host, id)),
    suspend: (id, signal) => host.action(id, 'suspend the guest', () => suspendGuest(host, id, signal), signal),
    resume: (guest, signal) =>
      host.action(guest.id, 'resume the guest', () => resumeGuest(deps, guest, signal), signal),
    destroy: (id) => host.action(id, 'destroy the guest', () => destroyGuest(host, id)),
    exportDisk: (id) => host.action(id, 'read the disk of the guest', () => exportGuest(host, id)),
    importDisk: (guest, image) => host.action(guest.id, 'receive the guest', () => imports.begin(guest, image)),
    consoleLog: (id, lines) => readConsole(host.paths(id).console, lines),
    onPower: (listener) => host.onPower(listener),
    lastWords: async (id) => (await lastWords(host.paths(id))) || undefined,
  }
}

/** Asks once; a failure is asked again. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined
  return () => {
    answer ??= ask().catch((e: unknown) => {
      answer = undefined
      throw e
    })
    return answer
  }
}

type Installation = Pick<Resources, 'hypervisor' | 'hypervisorVersion'>

async function readInstallation(qemuBinary: string, qemuImg: string): Promise<Installation> {
  const qemu = await findQemu({ qemuBinary, qemuImg })
  if (!qemu.found) return fail('DriverFailed', { action: 'be found', why: `${qemu.why} (${qemu.fix})` })
  return { hypervisor: 'qemu', hypervisorVersion: qemu.version }
}

async function hostResources(stateDir: string): Promise<Pick<Resources, 'vcpus' | 'memoryMb' | 'diskGb'>> {
  const disk = await statfs(stateDir)
  return {
    vcpus: availableParallelism(),
    memoryMb: Math.floor(totalmem() / (1 << 20)),
    diskGb: Math.floor((disk.blocks * disk.bsize) / (1 << 30)),
  }
}

/** Holds again all machines that live; ends what a killed daemon had begun to remove. */
async function takeUp(host: QemuHost): Promise<void> {
  const dir = instancesDir(host.stateDir)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const removed = (await readdir(dir)).filter((name) => name.endsWith('.gone'))
  await Promise.all(removed.map((name) => rm(join(dir, name), { recursive: true, force: true })))
  const held = new Set(host.attached().map(({ id }) => id))
  const alive = await findMachines(host.stateDir)
  const ended = (await readdir(dir)).filter((name) => isInstanceId(name) && !alive.has(name) && !held.has(name))
  await Promise.all(ended.map((id) => host.leave(id)))
  const machines = [...alive].filter(([id]) => !held.has(id))
  await Promise.all(
    machines.map(async ([id, pid]) => {
      try {
        await moveSockets(host.paths(id))
        await renewLimits(host, id)
        await host.takeUp(id, pid)
      } catch (err) {
        host.log.error({ instance: id, pid, err }, 'cannot take up a running guest')
      }
    }),
  )
}

/** A service manager that starts this daemon anew may have lifted the limits of guests that live. */
async function renewLimits(host: QemuHost, id: string): Promise<void> {
  try {
    const paths = host.paths(id)
    const record = await readRecord(paths)
    if (record?.hardware && record.accelerator)
      await host.cgroups.renew(paths, guestLimits(record.hardware, record.accelerator))
  } catch (err) {
    host.log.error({ instance: id, err }, 'cannot set the limits of a guest that runs')
  }
}

/** Of a machine that an older nova has started: its sockets were beside its disk. */
async function moveSockets({ dir, run, qmp, serial }: GuestPaths): Promise<void> {
  await mkdir(run, { recursive: true, mode: 0o700 })
  for (const path of [qmp, serial]) {
    const before = join(dir, basename(path))
    if (await exists(before)) await rename(before, path)
  }
}

async function listGuests(host: QemuHost): Promise<GuestSeen[]> {
  const names = await readdir(instancesDir(host.stateDir)).catch(() => [])
  const guests = await Promise.all(
    names
      .filter((name) => name.length === 36)
      .map(async (id) => {
        // A record that cannot be read is some guest's all the same: of no generation that anybody could claim to be newer than.
        const record = await readRecord(host.paths(id)).catch(() => undefined)
        return { id, power: await host.power(id), generation: record?.guest.generation ?? 0 }
      }),
  )
  return guests.filter(({ power }) => power !== 'NOSTATE')
}

async function makeDisk(
  { host, ...tools }: { host: QemuHost; qemuImg: QemuImg; checks: ImageChecks },
  guest: Guest,
  image: ImageFiles,
  signal: AbortSignal | undefined,
): Promise<void> {
  const paths = host.paths(guest.id)
  checkCreatable(image)
  const known = await readRecord(paths)
  checkGeneration(known?.guest, guest)
  // An empty one in its place would pass for the guest's data.
  if (known?.disk && !(await exists(paths.disk))) throw new Error('its disk is not on this host')
  await mkdir(paths.dir, { recursive: true, mode: 0o700 })
  await createDisk(tools, paths.disk, image, guest.size.diskGb, signal)
  await writeRecord(paths, { disk: hasDisk(guest, image), ...known, guest, image })
}
