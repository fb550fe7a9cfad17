import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { reason } from '../../base/errors.ts'
import { exec } from '../../base/exec.ts'
import type { Log } from '../../base/log.ts'
import { replaceFile } from '../../base/whole-file.ts'
import { imageLimits, type Limits, settingsOf } from './cgroup-limits.ts'
import { openParent } from './cgroup-parent.ts'
import { type Controller, controllers, ownCgroups } from './cgroup-tree.ts'
import type { GuestPaths } from './paths.ts'
import { entering } from './process.ts'
import type { Command } from './users.ts'

/** Which controllers guests of this host are bounded by, and why not by the others; empty if by all. */
export type CgroupAnswer = { controllers: Controller[]; why: string }

/** Where a host keeps its last answer, for `nova doctor`: a shell of an administrator is in another cgroup than the daemon. */
const cgroupFile = (stateDir: string): string => join(stateDir, 'cgroups.json')

/** The last answer of the host that keeps its things there; undefined if it has not looked yet. */
export async function readCgroupAnswer(stateDir: string): Promise<CgroupAnswer | undefined> {
  try {
    return JSON.parse(await readFile(cgroupFile(stateDir), 'utf8')) as CgroupAnswer
  } catch {
    // Absent or broken: it looks again at its next start.
    return undefined
  }
}

/** A cgroup that guests' cgroups are made in, of one hierarchy. */
type Place = { version: 1 | 2; dir: string; controllers: Controller[] }

/** How long the kernel may take to let go of a cgroup whose processes have ended, in ms. */
const letGoMs = 2_000

/**
 * The cgroups of this host's guests: one a guest in each hierarchy that bounds it, of v1 below that of this daemon. What a host
 * does not have, or does not let this daemon write to, guests run without.
 */
export class Cgroups {
  readonly #stateDir: string
  readonly #log: Log
  readonly #clock: Clock
  readonly #proc: string
  #places: Place[] = []
  #answer: CgroupAnswer | undefined
  /** Those of programs that look at images. */
  #images: string[] = []

  /** `proc`: where this process's `mountinfo` and `cgroup` are. */
  constructor(options: { stateDir: string; log: Log; clock: Clock; proc?: string | undefined }) {
    this.#stateDir = options.stateDir
    this.#log = options.log
    this.#clock = options.clock
    this.#proc = options.proc ?? '/proc/self'
  }

  /** What holds since it was looked for last; undefined before. */
  get answer(): CgroupAnswer | undefined {
    return this.#answer
  }

  /** Finds where cgroups can be made, by making one and running a program in it. Never fails: what holds is told. */
  async open(): Promise<CgroupAnswer> {
    const [mounts, own] = await Promise.all(
      ['mountinfo', 'cgroup'].map((name) => readFile(join(this.#proc, name), 'utf8').catch(() => '')),
    )
    const { v1, v2 } = ownCgroups(mounts ?? '', own ?? '')
    const lacking: string[] = []
    const found: Place[] = []
    const tryPlace = async (names: readonly Controller[], make: () => Promise<Place>) => {
      try {
        const place = await make()
        await this.#try(place)
        await fill({ ...place, dir: this.#imagesIn(place) }, imageLimits)
        found.push(place)
      } catch (e) {
        lacking.push(`${names.join(', ')}: ${whyNot(e)}`)
      }
    }
    for (const controller of controllers) {
      const where = v1[controller]
      if (where === undefined) continue
      if ('why' in where) lacking.push(`${controller}: ${where.why}`)
      else await tryPlace([controller], async () => ({ version: 1, dir: where.own, controllers: [controller] }))
    }
    const rest = controllers.filter((controller) => v1[controller] === undefined)
    const unified = v2 ?? { why: 'this system has no such controllers' }
    if (rest.length > 0 && 'why' in unified) lacking.push(`${rest.join(', ')}: ${unified.why}`)
    else if (rest.length > 0 && 'top' in unified)
      await tryPlace(rest, async () => {
        const parent = await openParent(unified.top, rest)
        const missing = rest.filter((controller) => !parent.controllers.includes(controller))
        if (missing.length > 0) lacking.push(`${missing.join(', ')}: ${unified.top} has no such controllers`)
        return { version: 2, ...parent }
      })
    this.#places = found
    this.#images = found.map((place) => this.#imagesIn(place))
    const answer = { controllers: found.flatMap((place) => place.controllers), why: lacking.join('; ') }
    this.#answer = answer
    await this.#tell(answer)
    return answer
  }

  /** Removes what no guest needs, once nothing looks at images any more. */
  async close(): Promise<void> {
    const images = this.#images
    this.#images = []
    await Promise.all(images.map((dir) => this.#removeDir(dir)))
  }

  /** The command, as one that looks at images: for all of these together there is one cgroup in each hierarchy. */
  image(file: string, args: readonly string[]): Command {
    const procs = this.#images.map((dir) => join(dir, 'cgroup.procs'))
    return entering(procs, file, args)
  }

  /**
   * Makes the cgroups of a guest that has no machine. Gives the files that a process writes itself to before it becomes the
   * machine; none if the host can make no cgroups.
   */
  async make(paths: GuestPaths, limits: Limits): Promise<string[]> {
    try {
      return await this.#make(paths, limits)
    } catch (err) {
      this.#log.warn(
        { instance: basename(paths.dir), err },
        'cannot make the cgroups of a guest; looking again what holds',
      )
      await this.open()
      return this.#make(paths, limits)
    }
  }

  async #make(paths: GuestPaths, limits: Limits): Promise<string[]> {
    const name = cgroupName(paths)
    const made = this.#places.map((place) => ({ ...place, dir: join(place.dir, name) }))
    await this.remove(paths)
    if (made.length === 0) return []
    // Before there is one: a daemon that is killed finds them again, in whatever cgroup its next life is.
    await writeFile(paths.cgroups, made.map(({ dir }) => `${dir}\n`).join(''), { mode: 0o600 })
    for (const place of made) await fill(place, limits)
    return made.map(({ dir }) => join(dir, 'cgroup.procs'))
  }

  /** Sets again the limits of a guest that runs: a service manager that starts this daemon anew may have lifted them. */
  async renew(paths: GuestPaths, limits: Limits): Promise<void> {
    const dirs = await recorded(paths)
    for (const place of this.#places) {
      const dir = join(place.dir, cgroupName(paths))
      if (dirs.includes(dir)) await fill({ ...place, dir }, limits)
    }
  }

  /**
   * The processes that are in the guest's cgroups, whatever they are: a guest that broke out may change the arguments by which
   * its machine is known.
   */
  async processesIn(paths: GuestPaths): Promise<number[]> {
    const lists = (await this.#dirsOf(paths)).map((dir) => readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => ''))
    return [...new Set((await Promise.all(lists)).flatMap((text) => text.split('\n')))].filter(Boolean).map(Number)
  }

  /** Removes the cgroups of a guest whose machine has ended, if it has any. Tells whether it ended for want of memory. */
  async remove(paths: GuestPaths): Promise<{ outOfMemory: boolean }> {
    const dirs = await this.#dirsOf(paths)
    const counts = await Promise.all(dirs.map(oomKills))
    const gone = await Promise.all(dirs.map((dir) => this.#removeDir(dir)))
    if (dirs.length > 0 && !gone.includes(false)) await rm(paths.cgroups, { force: true })
    return { outOfMemory: counts.some((count) => count > 0) }
  }

  /** Those that are noted, and those that this life would make: the note may be gone with the guest's directory. */
  async #dirsOf(paths: GuestPaths): Promise<string[]> {
    return [...new Set([...(await recorded(paths)), ...this.#places.map(({ dir }) => join(dir, cgroupName(paths)))])]
  }

  #imagesIn({ dir }: Place): string {
    return join(dir, `nova-images-${shortHash(this.#stateDir)}`)
  }

  async #removeDir(dir: string): Promise<boolean> {
    const until = this.#clock.now() + letGoMs
    for (;;) {
      try {
        await rmdir(dir)
        return true
      } catch (e) {
        const { code } = e as NodeJS.ErrnoException
        if (code === 'ENOENT') return true
        if (code !== 'EBUSY' || this.#clock.now() >= until) {
          this.#log.warn({ dir, err: e }, 'cannot remove the cgroup of a guest that has ended')
          return false
        }
      }
      await this.#clock.sleep(10)
    }
  }

  /** Fails if no program can be run in a cgroup with limits there. */
  async #try(place: Place): Promise<void> {
    const dir = join(place.dir, `nova-trial-${process.pid}`)
    try {
      await fill({ ...place, dir }, { memoryBytes: 64 << 20, pids: 64, cpus: 1 })
      const { code, stderr } = await exec(...entering([join(dir, 'cgroup.procs')], 'true', []))
      if (code !== 0) throw new Error(`no program can be moved there: ${stderr.trim()}`)
    } finally {
      await this.#removeDir(dir)
    }
  }

  async #tell(answer: CgroupAnswer): Promise<void> {
    const held = answer.controllers.join(', ')
    if (answer.why === '') this.#log.info({ controllers: held }, 'guests run in cgroups')
    else this.#log.warn({ controllers: held, why: answer.why }, 'guests run without some or all cgroups')
    const file = cgroupFile(this.#stateDir)
    try {
      await replaceFile(file, `${JSON.stringify(answer)}\n`)
    } catch (err) {
      // As on a full disk, which is no reason not to start.
      this.#log.warn({ err }, 'cannot keep for nova doctor which cgroups there are')
    }
  }
}

/** The name of a guest's cgroups. The same guest may be on another host of this machine, whose directory is another one. */
export const cgroupName = ({ dir }: GuestPaths): string => `nova-${basename(dir)}-${shortHash(dir)}`

const shortHash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)

/** Why no cgroup could be made, in a person's words. */
function whyNot(e: unknown): string {
  const { code, path } = e as NodeJS.ErrnoException
  const denied = (code === 'EACCES' || code === 'EPERM') && path !== undefined
  return denied ? `this user may not write to ${dirname(path)}` : reason(e)
}

/** Makes the cgroup if there is none, and sets its limits. */
async function fill({ version, dir, controllers: of }: Place, limits: Limits): Promise<void> {
  await mkdir(dir, { recursive: true })
  for (const { file, value, optional } of settingsOf(version, of, limits)) {
    const path = join(dir, file)
    if (!optional || existsSync(path)) await writeFile(path, value)
  }
}

/** The cgroups that the guest was given, by its own directory; no others, whatever stands there. */
async function recorded(paths: GuestPaths): Promise<string[]> {
  const text = await readFile(paths.cgroups, 'utf8').catch(() => '')
  return text.split('\n').filter((dir) => dir.startsWith('/') && basename(dir) === cgroupName(paths))
}

/** How many processes the kernel has ended in this cgroup, for want of memory: by `memory.events` in v2, `memory.oom_control` in v1. */
async function oomKills(dir: string): Promise<number> {
  const texts = ['memory.events', 'memory.oom_control'].map((name) => readFile(join(dir, name), 'utf8').catch(() => ''))
  return Number(/^oom_kill (\d+)$/m.exec((await Promise.all(texts)).join('\n'))?.[1] ?? 0)
}
