import { existsSync } from 'node:fs'
import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Clock, systemClock } from '../../base/clock.ts'
import { launch } from '../../base/exec.ts'
import { directoryIn, type MachineFile } from './arguments.ts'
import { type GuestPaths, guestPaths, instancesDir, isInstanceId, machinesLock } from './paths.ts'
import { type Command, isUserOf } from './users.ts'

/** The owner and the arguments of a process; none of one that has ended. */
async function processOf(pid: number | string): Promise<{ uid: number; args: string[] } | undefined> {
  const process = await stat(`/proc/${pid}`).catch(() => undefined)
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return process === undefined || text === '' ? undefined : { uid: process.uid, args: text.split('\0') }
}

/**
 * The directory of the guest whose machine this process is. Only of this daemon's user or the guest's: anybody may write the
 * arguments of a machine behind a program of their own, and would be taken for the machine, or be killed in its place.
 */
async function guestDirOf(found: Awaited<ReturnType<typeof processOf>>, stateDir: string): Promise<string | undefined> {
  if (found === undefined) return undefined
  const dir = directoryIn(found.args)
  if (dir === undefined || dirname(dir) !== instancesDir(stateDir) || !isInstanceId(basename(dir))) return undefined
  return (await isUserOf(found.uid, guestPaths(stateDir, basename(dir)))) ? dir : undefined
}

/** A program that starts as a script which becomes QEMU has no arguments for a moment. */
const changesWithinMs = 50

/** Whether this process is the machine of this guest: a process id alone may have gone to another program. */
export async function isMachine(pid: number, paths: GuestPaths): Promise<boolean> {
  for (let waited = 0; ; waited += 5) {
    const found = await processOf(pid)
    if (found || waited >= changesWithinMs || !existsSync(`/proc/${pid}`))
      return (await guestDirOf(found, dirname(dirname(paths.dir)))) === paths.dir
    await systemClock.sleep(5)
  }
}

/**
 * The processes of all guests under `stateDir`. Looks at every process and not into pid files: a daemon may have been
 * killed after it started a machine and before it wrote the file.
 */
export async function findMachines(stateDir: string): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  await Promise.all(
    processes.map(async (pid) => {
      const dir = await guestDirOf(await processOf(pid), stateDir)
      if (dir !== undefined) found.set(basename(dir), Number(pid))
    }),
  )
  return found
}

/** The process of one guest, or undefined. */
export async function findMachine(stateDir: string, id: string): Promise<number | undefined> {
  const paths = guestPaths(stateDir, id)
  const noted = Number(await readFile(paths.pid, 'utf8').catch(() => '0'))
  if (noted > 0 && (await isMachine(noted, paths))) return noted
  return (await findMachines(stateDir)).get(id)
}

/** Writes its process to the files up to `--`, and becomes the program after it. Ends like a program that there is not. */
const enter = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 127; shift; done; shift; exec "$@"'

/** The command as a process that is in cgroups, by their files `cgroup.procs`, before it is the program. */
export const entering = (procs: readonly string[], file: string, args: readonly string[]): Command =>
  procs.length === 0 ? [file, args] : ['sh', ['-c', enter, 'sh', ...procs, '--', file, ...args]]

/**
 * Starts QEMU in a session of its own, so that it lives on when this process ends, with its words in the guest's log and
 * these files open, in cgroups whose `cgroup.procs` are given. Gives the process id, which stands in the guest's pid file
 * from then on. As long as a machine of the guest lives, however it was overlooked, another one ends at once: it inherits a
 * lock on that file. It also has a share in that of all machines of the host.
 */
export async function startMachine(
  [binary, args]: Command,
  machineFiles: readonly MachineFile[],
  paths: GuestPaths,
  procs: readonly string[] = [],
): Promise<number> {
  await using files = new AsyncFiles()
  // Afresh, and then appended to: it may be cut while the machine runs.
  await rm(paths.log, { force: true })
  const log = await files.open(paths.log, 'a')
  const given: number[] = []
  for (const { path, flags } of machineFiles) given.push(await files.open(path, flags))
  const share = ['--shared', '--no-fork', machinesLock(dirname(dirname(paths.dir)))]
  const locked = ['flock', '--nonblock', '--no-fork', paths.pid, binary, ...args]
  const [file, words] = entering(procs, 'flock', [...share, ...locked])
  const child = await launch(file, words, { cwd: paths.dir, detached: true, stdio: ['ignore', log, log, ...given] })
  child.on('error', () => undefined)
  child.unref()
  const pid = child.pid ?? 0
  await writeFile(paths.pid, `${pid}\n`, { mode: 0o600 })
  return pid
}

/** Open files that are closed when the block ends. */
class AsyncFiles implements AsyncDisposable {
  readonly #open: Array<{ close(): Promise<void> }> = []

  async open(path: string, flags: string): Promise<number> {
    const file = await open(path, flags, 0o600)
    this.#open.push(file)
    return file.fd
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map((file) => file.close()))
  }
}

/** Waits until the process has ended. False if it still lives after `timeoutMs`. */
export async function machineGone(pid: number, paths: GuestPaths, clock: Clock, timeoutMs: number): Promise<boolean> {
  const until = clock.now() + timeoutMs
  while (await isMachine(pid, paths)) {
    if (clock.now() >= until) return false
    await clock.sleep(10)
  }
  return true
}

/** Ends processes until none are found. Fails if some do not end. */
export async function killAll(find: () => Promise<readonly number[]>, clock: Clock): Promise<void> {
  const until = clock.now() + 10_000
  for (let pids = await find(); pids.length > 0; pids = await find()) {
    if (clock.now() >= until) throw new Error(`process ${pids[0]} does not end`)
    for (const pid of pids) kill(pid)
    await clock.sleep(10)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended in between.
  }
}

/** Cuts a machine's power. Ends when the process is gone; touches no process but this guest's. */
export async function killMachine(pid: number, paths: GuestPaths, clock: Clock): Promise<void> {
  if (await isMachine(pid, paths)) kill(pid)
  if (!(await machineGone(pid, paths, clock, 10_000))) throw new Error(`process ${pid} does not end`)
}
