import { existsSync } from 'node:fs'
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Clock, systemClock } from '../../base/clock.ts'
import { launch } from '../../base/exec.ts'
import { type GuestPaths, guestPaths, instancesDir } from './paths.ts'

/**
 * The arguments of a process; none of one that has ended. Nor of another user's: anybody may write the arguments of a machine
 * behind a program of their own, and would be taken for the machine, or be killed in its place.
 */
async function argumentsOf(pid: number | string): Promise<string[]> {
  const process = await stat(`/proc/${pid}`).catch(() => undefined)
  if (process?.uid !== ownUid) return []
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text === '' ? [] : text.split('\0')
}

const ownUid = process.geteuid?.()

/** The `-pidfile` argument of a process; it names state directory and guest, so it tells one machine from all others. */
function pidfileIn(args: readonly string[]): string | undefined {
  const at = args.indexOf('-pidfile')
  return at < 0 ? undefined : args[at + 1]
}

/** A program that starts as a script which becomes QEMU has no arguments for a moment. */
const changesWithinMs = 50

/** Whether this process is the machine of this guest: a process id alone may have gone to another program. */
export async function isMachine(pid: number, paths: GuestPaths): Promise<boolean> {
  for (let waited = 0; ; waited += 5) {
    const args = await argumentsOf(pid)
    if (args.length > 0 || waited >= changesWithinMs || !existsSync(`/proc/${pid}`))
      return pidfileIn(args) === paths.pid
    await systemClock.sleep(5)
  }
}

/**
 * The processes of all guests under `stateDir`. Looks at every process and not into pid files: a daemon may have been
 * killed after it started a machine and before the machine wrote its file.
 */
export async function findMachines(stateDir: string): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  await Promise.all(
    processes.map(async (pid) => {
      const pidfile = pidfileIn(await argumentsOf(pid))
      if (pidfile === undefined || dirname(dirname(pidfile)) !== instancesDir(stateDir)) return
      const id = basename(dirname(pidfile))
      if (pidfile === guestPaths(stateDir, id).pid) found.set(id, Number(pid))
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

/**
 * Starts QEMU in a session of its own, so that it lives on when this process ends, and with its words in the guest's log.
 * `memory` is the file that it takes its memory from: it becomes the machine's file number 3. Gives the process id.
 */
export async function startMachine(
  binary: string,
  args: readonly string[],
  paths: GuestPaths,
  memory: string | undefined,
): Promise<number> {
  await using files = new AsyncFiles()
  const log = await files.open(paths.log, 'w')
  const stdio = ['ignore' as const, log, log, ...(memory === undefined ? [] : [await files.open(memory, 'r')])]
  const child = await launch(binary, args, { cwd: paths.dir, detached: true, stdio })
  child.on('error', () => undefined)
  child.unref()
  return child.pid ?? 0
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

/** Cuts a machine's power. Ends when the process is gone; touches no process but this guest's. */
export async function killMachine(pid: number, paths: GuestPaths, clock: Clock): Promise<void> {
  if (await isMachine(pid, paths)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in between.
    }
  }
  if (!(await machineGone(pid, paths, clock, 10_000))) throw new Error(`process ${pid} does not end`)
}
