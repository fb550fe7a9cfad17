import { chown, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { exec, type Outcome } from '../../base/exec.ts'
import type { Cgroups } from './cgroups.ts'
import type { GuestUsers } from './users.ts'

/** What qemu-img may use to look at a file, whoever made it: seconds of a processor, seconds, bytes of memory, open files. */
const usual = { cpu: 30, seconds: 30, memory: 1 << 30, files: 64 }

/** How qemu-img is told of the file that it is given open. */
const given = '/proc/self/fd/3'

/**
 * qemu-img on files that were made elsewhere: in bounded time and memory, as a user that owns nothing, and with no way to
 * another file, whatever is in the one that it is given.
 */
export class QemuImg {
  readonly #binary: string
  readonly #users: GuestUsers
  readonly #cgroups: Pick<Cgroups, 'image'> | undefined
  readonly #most: typeof usual

  constructor(
    binary: string,
    host: { users: GuestUsers; cgroups?: Pick<Cgroups, 'image'> },
    most: Partial<typeof usual> = {},
  ) {
    this.#binary = binary
    this.#users = host.users
    this.#cgroups = host.cgroups
    this.#most = { ...usual, ...most }
  }

  /**
   * Looks whether a qcow2 file is whole; what it stands on is not looked at. Undefined, or what is wrong with it. Rejects with
   * the signal's reason if the signal aborts, and if it does not come to an end for reasons that may lie in this host.
   */
  async check(path: string, signal?: AbortSignal): Promise<string | undefined> {
    const alone = JSON.stringify({ driver: 'qcow2', backing: null, file: { driver: 'file', filename: given } })
    const outcome = await this.#look(path, 'r', ['check', '-q', `json:${alone}`], signal)
    const { code } = outcome
    const most = this.#most
    const leaksOnly = 3
    if (code === 0 || code === leaksOnly) return undefined
    if (code === 124) throw new Error(`its structure could not be checked within ${most.seconds} s`)
    if (code > 128) return `its structure takes more than ${most.cpu} s to check`
    if (code === 127) throw new Error(said(outcome, path))
    return `it is damaged or cut off (qemu-img check: ${said(outcome, path)})`
  }

  /** Writes into a qcow2 file of ours what it stands on: an image, or nothing. */
  async rebase(path: string, image: { path: string; format: string } | undefined): Promise<void> {
    const backing = image ? ['-b', image.path, '-F', image.format] : ['-b', '']
    const outcome = await this.#look(path, 'r+', ['rebase', '-q', '-u', '-f', 'qcow2', ...backing, given])
    if (outcome.code !== 0) throw new Error(`qemu-img: ${said(outcome, path)}`)
  }

  /** Makes a qcow2 file of `bytes` that stands on an image, which is not opened, or on nothing. Reads nothing of a stranger's. */
  async create(path: string, image: { path: string; format: string } | undefined, bytes: number): Promise<void> {
    const backing = image ? ['-u', '-b', image.path, '-F', image.format] : []
    const outcome = await exec(this.#binary, ['create', '-q', '-f', 'qcow2', ...backing, path, String(bytes)])
    if (outcome.code !== 0) throw new Error(`${this.#binary}: ${outcome.stderr.trim()}`)
  }

  /** While `use` runs, the file belongs to the user that looks at files. */
  async lent<T>(path: string, use: () => Promise<T>): Promise<T> {
    const { readerUid } = this.#users
    if (readerUid === undefined) return use()
    await chown(path, readerUid, readerUid)
    try {
      return await use()
    } finally {
      await chown(path, 0, 0)
    }
  }

  async #look(path: string, flags: 'r' | 'r+', args: readonly string[], signal?: AbortSignal): Promise<Outcome> {
    const most = this.#most
    const limits = [`--cpu=${most.cpu}`, `--as=${most.memory}`, `--nofile=${most.files}`, '--core=0']
    const bare = this.#users.reader('prlimit', [...limits, '--', this.#binary, ...args])
    const [file, words] = this.#cgroups?.image(...bare) ?? bare
    const opened = await open(path, flags)
    try {
      const outcome = await exec(file, words, { timeoutMs: most.seconds * 1000, files: [opened.fd], signal })
      signal?.throwIfAborted()
      return outcome
    } finally {
      await opened.close()
    }
  }
}

/** What qemu-img said of a file, with the file's name instead of its place: members read it, too. */
const said = ({ stdout, stderr }: Outcome, path: string): string =>
  ((stderr || stdout).trim().split('\n')[0] ?? '').replaceAll(given, basename(path))
