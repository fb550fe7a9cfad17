import { resolve } from 'node:path'

/** The controllers that bound a guest. */
export const controllers = ['memory', 'pids', 'cpu'] as const
export type Controller = (typeof controllers)[number]

/** The directories of a process's own cgroup and of the top of its hierarchy, as it is seen here, or why they cannot be used. */
type Where = { own: string; top: string } | { why: string }

/** Where a process is: in each hierarchy of cgroup v1 that has one of our controllers, and in that of cgroup v2. */
export type OwnCgroups = { v1: Partial<Record<Controller, Where>>; v2: Where | undefined }

type Mount = { root: string; at: string; readOnly: boolean; type: string; options: string[] }

/** A path as the kernel writes it in mountinfo: blanks and backslashes are octal. */
const path = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** The mounts of cgroups in the text of /proc/PID/mountinfo, see proc(5); of those at one place the one on top. */
function cgroupMounts(mountinfo: string): Mount[] {
  const mounts = new Map<string, Mount>()
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root = '', at = '', mounted = ''] = before.split(' ')
    const [type = '', , options = ''] = after.split(' ')
    const readOnly = [mounted, options].some((list) => list.split(',').includes('ro'))
    // Whatever else is mounted over it hides it, too.
    mounts.set(at, { root: path(root), at: path(at), readOnly, type, options: options.split(',') })
  }
  return [...mounts.values()].filter(({ type }) => type === 'cgroup' || type === 'cgroup2')
}

/** Where the cgroup `own` is in one of these mounts of its hierarchy. */
function within(mounts: readonly Mount[], own: string): Where {
  if (mounts.length === 0) return { why: 'it is not mounted' }
  const below = mounts.filter(({ root }) => root === '/' || own === root || own.startsWith(`${root}/`))
  const mount = below.find(({ readOnly }) => !readOnly) ?? below[0]
  // In a container that sees the cgroups of its host, or in a cgroup namespace that the process was moved out of.
  if (!mount || own.startsWith('/..')) return { why: `the cgroup ${own} of this process is outside of what is mounted` }
  if (mount.readOnly) return { why: `${mount.at} is mounted read-only` }
  return { own: resolve(mount.at, `./${mount.root === '/' ? own : own.slice(mount.root.length)}`), top: mount.at }
}

/** The lines of /proc/PID/cgroup, see cgroups(7): controllers of a v1 hierarchy, none for v2. */
const memberships = (text: string): Array<{ names: string[]; own: string }> =>
  text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line))
    .flatMap((found) => (found ? [{ names: (found[1] ?? '').split(','), own: found[2] ?? '' }] : []))

/** Where a process is, by the texts of its `mountinfo` and `cgroup` in /proc. Hierarchies with a name and no controller are left out. */
export function ownCgroups(mountinfo: string, cgroup: string): OwnCgroups {
  const mounts = cgroupMounts(mountinfo)
  const found: OwnCgroups = { v1: {}, v2: undefined }
  for (const { names, own } of memberships(cgroup)) {
    if (names.join() === '')
      found.v2 = within(
        mounts.filter(({ type }) => type === 'cgroup2'),
        own,
      )
    for (const name of controllers.filter((controller) => names.includes(controller))) {
      const holding = mounts.filter(({ type, options }) => type === 'cgroup' && options.includes(name))
      found.v1[name] = within(holding, own)
    }
  }
  return found
}
