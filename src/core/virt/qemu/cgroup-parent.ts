import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Controller } from './cgroup-tree.ts'

/** A cgroup v2 that guests' cgroups may be made in, and the controllers that they will have. */
export type Parent = { dir: string; controllers: Controller[] }

/**
 * Makes the cgroup of all guests, `nova-guests`, fit for children with these controllers. At the top of the hierarchy and not
 * below the daemon's: a cgroup with such children can have no processes, so while guests live a service manager could not
 * start the daemon there anew. Fails if that is not allowed, as for a user, or in a container whose processes are at the
 * top of what it sees.
 */
export async function openParent(top: string, wanted: readonly Controller[]): Promise<Parent> {
  const there = await words(join(top, 'cgroup.controllers'))
  const usable = wanted.filter((controller) => there.includes(controller))
  if (usable.length === 0) throw new Error(`${top} has no such controllers`)
  const dir = join(top, 'nova-guests')
  await enable(top, usable)
  await mkdir(dir, { recursive: true })
  // Also what keeps a service manager from taking them away at the top again.
  await enable(dir, usable)
  return { dir, controllers: usable }
}

async function enable(dir: string, usable: readonly Controller[]): Promise<void> {
  const control = join(dir, 'cgroup.subtree_control')
  const enabled = await words(control)
  const missing = usable.filter((controller) => !enabled.includes(controller))
  if (missing.length === 0) return
  try {
    await writeFile(control, missing.map((controller) => `+${controller}`).join(' '))
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EBUSY') throw e
    throw new Error(`there are processes in ${dir}, so it can have no children with limits`, { cause: e })
  }
}

const words = async (file: string): Promise<string[]> =>
  (await readFile(file, 'utf8')).split(/\s+/).filter((word) => word !== '')
