import { chmod, chown, lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { KeyedMutex } from '../../base/concurrency.ts'
import { fail } from '../../base/errors.ts'
import { exec } from '../../base/exec.ts'
import { type GuestPaths, guestPaths, instancesDir, isInstanceId } from './paths.ts'

/** Uids that QEMU and qemu-img run as, if this daemon is root: `base` reads images, each guest has one of those after it. */
export type UidRange = { base: number; count: number }

/** A program and its arguments. */
export type Command = readonly [file: string, args: readonly string[]]

/** Who the programs of this host's guests are. Without a range, or where this daemon is not root: this daemon's user. */
export class GuestUsers {
  readonly #range: UidRange | undefined
  readonly #stateDir: string
  readonly #turns = new KeyedMutex()

  constructor(stateDir: string, range: UidRange | undefined) {
    this.#stateDir = stateDir
    this.#range = process.geteuid?.() === 0 && range !== undefined && range.count > 0 ? range : undefined
  }

  /** Fails if programs cannot be run as the first and the last uid of the range: a host that cannot does not join the cloud. */
  async check(): Promise<void> {
    if (this.#range === undefined) return
    for (const uid of [this.#range.base, this.#range.base + this.#range.count]) {
      const { stdout, stderr } = await exec(...asUser(uid, [], 'id', ['-u']))
      if (stdout.trim() === String(uid)) continue
      const why = `guests cannot run as uid ${uid}: ${stderr.trim().split('\n')[0] || `they would be uid ${stdout.trim()}`}`
      const fix = 'choose uids that this machine or container has, or 0 to run guests as root'
      fail('ConfigInvalid', {
        key: 'compute.guest_uid_base, compute.guest_uid_count',
        value: `${this.#range.base}, ${this.#range.count}`,
        allowed: `${why}; ${fix}`,
        source: 'as tried',
      })
    }
  }

  /** The user that looks at files of strangers; undefined: this daemon's. */
  get readerUid(): number | undefined {
    return this.#range?.base
  }

  /** The command as the user that looks at files of strangers. */
  reader(file: string, args: readonly string[]): Command {
    return this.#range === undefined ? [file, args] : asUser(this.#range.base, [], file, args)
  }

  /**
   * The command of a guest's machine, as the guest's own user; `groups` beside its own. Makes the guest's directories fit:
   * the user owns the one for sockets, and may pass through the other one without seeing what is in it.
   */
  async guest(paths: GuestPaths, groups: readonly number[], file: string, args: readonly string[]): Promise<Command> {
    const uid = await this.#uidOf(paths)
    return uid === undefined ? [file, args] : asUser(uid, groups, file, args)
  }

  async #uidOf(paths: GuestPaths): Promise<number | undefined> {
    await mkdir(paths.run, { recursive: true, mode: 0o700 })
    const range = this.#range
    if (range === undefined) return undefined
    await chmod(paths.dir, 0o711)
    // One at a time, or two would find the same one free.
    const release = await this.#turns.acquire('uid')
    try {
      const chosen = await this.#choose(range, paths)
      await chown(paths.run, chosen, chosen)
      return chosen
    } finally {
      release()
    }
  }

  /**
   * The uid that the guest had, or another: one that no other guest of this host has, nor any process, as of another host on
   * this machine. Which one is tried first depends on the guest, so that such hosts hardly ever choose the same at once.
   */
  async #choose({ base, count }: UidRange, paths: GuestPaths): Promise<number> {
    const processes = (await readdir('/proc')).filter(isNumber).map((pid) => `/proc/${pid}`)
    const id = basename(paths.dir)
    const others = (await readdir(instancesDir(this.#stateDir))).filter((name) => isInstanceId(name) && name !== id)
    const runs = others.map((other) => guestPaths(this.#stateDir, other).run)
    const taken = new Set(await uidsOf([...processes, ...runs]))
    const { uid: before } = await lstat(paths.run)
    if (before > base && before <= base + count && !taken.has(before)) return before
    const first = Number.parseInt(id.slice(0, 8), 16)
    for (let n = 0; n < count; n++) {
      const uid = base + 1 + ((first + n) % count)
      if (!taken.has(uid)) return uid
    }
    throw new Error(`all ${count} uids of guests are in use: raise compute.guest_uid_count`)
  }
}

const isNumber = (name: string): boolean => /^\d+$/.test(name)

async function uidsOf(paths: readonly string[]): Promise<number[]> {
  const found = await Promise.all(paths.map((path) => lstat(path).catch(() => undefined)))
  return found.flatMap((one) => (one === undefined ? [] : [one.uid]))
}

/** Nothing of root is left: no capabilities, no groups but those named, and no program that could give any of it back. */
function asUser(uid: number, groups: readonly number[], file: string, args: readonly string[]): Command {
  const who = [`--reuid=${uid}`, `--regid=${uid}`]
  const also = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join()}`
  const less = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all']
  return ['setpriv', [...who, also, ...less, '--', file, ...args]]
}

/** The groups that a guest's user needs to open KVM's device. */
export async function kvmGroups(device = '/dev/kvm'): Promise<number[]> {
  const { gid, mode } = await stat(device)
  const forAll = (mode & 0o006) === 0o006
  // Root's group is not for guests: they would read what root shares with it.
  return forAll || gid === 0 ? [] : [gid]
}

/** Whether this user may be that of the guest's machine: this daemon's, or the one that owns the guest's sockets. */
export async function isUserOf(uid: number, paths: GuestPaths): Promise<boolean> {
  if (uid === process.geteuid?.()) return true
  if (process.geteuid?.() !== 0) return false
  return (await lstat(paths.run).catch(() => undefined))?.uid === uid
}
