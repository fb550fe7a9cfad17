import { open, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { assert } from '../../base/errors.ts'

/** Where everything of one guest lies. */
export type GuestPaths = {
  dir: string
  /** What it is to start with; without this file there is no guest. */
  record: string
  disk: string
  configDrive: string
  /** All that its serial console ever printed, as far as we keep it. */
  console: string
  /** What QEMU itself has to say. */
  log: string
  /** The same of its last machine that KVM failed under. */
  kvmLog: string
  pid: string
  /** The cgroups that its machine is in, one a line. */
  cgroups: string
  /** Its memory while it is suspended; complete whenever the file is there. */
  memory: string
  /** Present after the guest's own system crashed, until its next start. */
  crashed: string
  /** The only directory that QEMU may write to, where it makes its sockets; its owner is the guest's user. */
  run: string
  /** QEMU, whose working directory is the guest's, is told names of sockets from there on. */
  qmp: string
  serial: string
  /** Ours, for QEMU to send its memory to. */
  memorySocket: string
}

/** The directory that holds a directory for each guest. */
export const instancesDir = (stateDir: string): string => join(stateDir, 'instances')

/** Shared by all machines of the host that live: as long as one does, nobody can have it alone. */
export const machinesLock = (stateDir: string): string => join(stateDir, 'machines.lock')

/** How many guests have a directory there. */
export async function guestsIn(stateDir: string): Promise<number> {
  const names = await readdir(instancesDir(stateDir)).catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return []
    throw e
  })
  return names.length
}
export const isInstanceId = (text: string): boolean => /^[0-9a-f-]{36}$/.test(text)

export function guestPaths(stateDir: string, id: string): GuestPaths {
  assert(isInstanceId(id), `not an instance id: ${id}`)
  const dir = join(instancesDir(stateDir), id)
  return {
    dir,
    record: join(dir, 'guest.json'),
    disk: join(dir, 'disk.qcow2'),
    configDrive: join(dir, 'config.iso'),
    console: join(dir, 'console.log'),
    log: join(dir, 'qemu.log'),
    kvmLog: join(dir, 'qemu-kvm.log'),
    pid: join(dir, 'qemu.pid'),
    cgroups: join(dir, 'cgroups'),
    memory: join(dir, 'memory.save'),
    crashed: join(dir, 'crashed'),
    run: join(dir, 'run'),
    qmp: join(dir, 'run', 'qmp.sock'),
    serial: join(dir, 'run', 'serial.sock'),
    memorySocket: join(dir, 'memory.sock'),
  }
}

/**
 * Lends a short name for a socket of ours while `use` binds or connects it: the kernel takes no path of a socket above 107
 * bytes, and a state directory may be anywhere. Not for what lies in a directory of a guest's user, who may put a link there.
 */
export async function withShortPath<T>(path: string, use: (short: string) => Promise<T>): Promise<T> {
  const dir = await open(dirname(path), 'r')
  try {
    return await use(`/proc/self/fd/${dir.fd}/${basename(path)}`)
  } finally {
    await dir.close()
  }
}
