import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { reason } from '../../base/errors.ts'
import type { Controller } from './cgroup-tree.ts'

/** The cgroup that a daemon moves to under cgroup v2, out of the way of its guests' cgroups. */
const leaf = 'nova-daemon'

/** A cgroup v2 that guests' cgroups may be made in, and the controllers that they will have. */
export type Parent = { dir: string; controllers: Controller[] }

/** Processes as /proc tells of them. */
export type Processes = {
  self: number
  /** The process's parent; undefined if it has ended. */
  parentOf(pid: number): Promise<number | undefined>
  /** The arguments of a process, its program first; empty if it has ended. */
  argumentsOf(pid: number): Promise<string[]>
  /** What an earlier life of this daemon has left: machines of guests, and the keeper of their logs. */
  left(): Promise<readonly number[]>
}

/**
 * Makes the cgroup `own` of this process fit for children with these controllers. A cgroup v2 with processes in it can have
 * none, save the first of all; so this process moves to a cgroup of its own below, and takes with it what it and its
 * supervisor have started, and machines of guests. Fails if there are other processes: those are not ours to move.
 */
export async function openParent(own: string, wanted: readonly Controller[], processes: Processes): Promise<Parent> {
  // This process, or the one that has started it, has moved before.
  const dir = basename(own) === leaf ? dirname(own) : own
  const there = await words(join(dir, 'cgroup.controllers'))
  const usable = wanted.filter((controller) => there.includes(controller))
  if (usable.length === 0) throw new Error(`${dir} has none of ${wanted.join(', ')}: it was not delegated`)
  const enabled = await words(join(dir, 'cgroup.subtree_control'))
  if (!usable.every((controller) => enabled.includes(controller))) await enable(dir, usable, processes)
  return { dir, controllers: usable }
}

async function enable(dir: string, usable: readonly Controller[], processes: Processes): Promise<void> {
  const control = join(dir, 'cgroup.subtree_control')
  const text = usable.map((controller) => `+${controller}`).join(' ')
  // What we have started may start others while we move them.
  for (let left = 3; ; left--) {
    try {
      return await writeFile(control, text)
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EBUSY' || left === 0) throw e
    }
    await moveAway(dir, processes)
  }
}

async function moveAway(dir: string, processes: Processes): Promise<void> {
  const isOurs = await ourProcesses(processes)
  const there = (await words(join(dir, 'cgroup.procs'))).map(Number)
  for (const pid of there) {
    if ((await isOurs(pid)) || (await processes.parentOf(pid)) === undefined) continue
    throw new Error(`process ${pid}, which nova did not start, is in ${dir}: start nova as a service of its own`)
  }
  await mkdir(join(dir, leaf), { recursive: true })
  for (const pid of there) {
    try {
      await writeFile(join(dir, leaf, 'cgroup.procs'), String(pid))
    } catch (e) {
      const ended = (e as NodeJS.ErrnoException).code === 'ESRCH'
      if (!ended) throw new Error(`cannot move process ${pid}: ${reason(e)}`, { cause: e })
    }
  }
}

/** Tells processes that this one may move: itself, its supervisor, what they have started, and what its earlier life has left. */
async function ourProcesses(processes: Processes): Promise<(pid: number) => Promise<boolean>> {
  const { self, parentOf } = processes
  const parent = await parentOf(self)
  const roots = new Set([...(await processes.left()), self])
  if (parent !== undefined && (await supervises(parent, processes))) roots.add(parent)
  return async (pid) => {
    for (let one: number | undefined = pid; one !== undefined && one > 0; one = await parentOf(one))
      if (roots.has(one)) return true
    return false
  }
}

/** The supervisor of `nova up` has this process's command at the end of its own. */
async function supervises(parent: number, { argumentsOf, self }: Processes): Promise<boolean> {
  const [, ...command] = await argumentsOf(self)
  const theirs = await argumentsOf(parent)
  return (
    command.length > 0 &&
    theirs
      .slice(2)
      .join('\0')
      .endsWith(`\0${command.join('\0')}`)
  )
}

const words = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8')).split(/\s+/).filter((word) => word !== '')
