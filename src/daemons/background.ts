import { once } from 'node:events'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock } from '../core/base/clock.ts'
import { type Code, Failure, fail, failures, isFailure } from '../core/base/errors.ts'
import { type ChildProcess, launch } from '../core/base/exec.ts'
import { ownDirectory } from '../core/base/own-directory.ts'
import { livingPid } from '../core/base/pid-file.ts'
import { type Config, environmentOf } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'

/** The process of this state directory's cloud, if it is running. */
export const runningPid = (config: Config): number | undefined => livingPid(places(config.stateDir).pid)

/** The supervisor's last message: the cloud answers; it ended; or another process owns this state directory. */
type Outcome = { ready?: true; failed?: number; taken?: number }

/** How long to wait for a cloud that starts, and whom to inform about what it waits for. */
export type StartWait = {
  timeoutMs: number
  /** Aborts the start, and stops everything that it had started, with the signal's reason. */
  signal: AbortSignal
  note: (text: string) => void
}

/** After this time a start reports what it waits for; most starts are quicker. */
const quietMs = 3_000
/** With less room than this, in bytes, a daemon cannot even say why it ends. */
const fullBelowBytes = 64 << 10
/** How long a clean stop may take before the process is killed. */
const stopWithinMs = 20_000

/**
 * Starts `nova up --foreground` under the supervisor, detached from the terminal, and returns when every service
 * answers; false if another start was quicker. `root` is the package's directory. `settings` come from flags: they are
 * passed on in the environment, because everybody can read a command line. If the cloud does not start, the failure has
 * the reason from its log. If it does not start in time, or `signal` aborts, everything that was started is stopped
 * again.
 */
export async function startInBackground(
  config: Config,
  root: string,
  settings: Readonly<Record<string, unknown>>,
  { timeoutMs, signal, note }: StartWait,
): Promise<boolean> {
  const { pid, log } = places(config.stateDir)
  ownDirectory(config.stateDir, 'state_dir')
  mkdirSync(dirname(log), { recursive: true, mode: 0o700 })
  const out = openSync(log, 'a', 0o600)
  const { size } = fstatSync(out)
  const supervisor = join(root, 'dist', 'daemons', 'supervisor.js')
  const command = [join(root, 'bin', 'run.js'), 'up', '--foreground']
  const child = await launch(process.execPath, [supervisor, pid, ...command], {
    detached: true,
    stdio: ['ignore', out, out, 'ipc'],
    env: environmentOf(config, settings),
  })
  closeSync(out)
  const waits = noteWaits(child, note)
  const outcome = await outcomeOf(child, timeoutMs, signal)
  waits.over()
  // Also if it has failed: its supervisor is about to end, and nobody shall find it who was told that nothing runs.
  if (outcome === undefined || outcome.failed !== undefined) await endAll(child)
  if (child.connected) child.disconnect()
  child.unref()
  signal.throwIfAborted()
  if (outcome?.ready || outcome?.taken) return outcome.ready === true
  if (outcome) throw lastWords(log, size, outcome.failed ?? 1)
  const why = `no answer within ${timeoutMs / 1000} s${waits.last ? ` (${waits.last})` : ''}; everything that was started has been stopped.`
  throw new Failure('StartFailed', { why: fullDisk(dirname(log)) ?? why, log })
}

/** The outcome of a start; undefined if it takes longer than `timeoutMs`, or is aborted. */
function outcomeOf(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    systemClock.after(timeoutMs, () => resolve(undefined))
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined))
    child.on('message', (message) => {
      if (!('waiting' in (message as object))) resolve(message as Outcome)
    })
    child.once('exit', (code) => resolve({ failed: code ?? 1 }))
  })
}

/** Tells a person what a start waits for, once it has taken a while, and again if that changes. */
function noteWaits(
  child: ChildProcess,
  note: (text: string) => void,
): { readonly last: string | undefined; over(): void } {
  let last: string | undefined
  let noted: string | undefined
  let long = false
  const noteWait = () => {
    if (!long || last === undefined || last === noted) return
    noted = last
    note(`${last[0]?.toUpperCase()}${last.slice(1)} …`)
  }
  const stop = systemClock.after(quietMs, () => {
    long = true
    noteWait()
  })
  child.on('message', (message) => {
    const { waiting } = message as { waiting?: string }
    if (waiting === undefined) return
    last = waiting
    noteWait()
  })
  return {
    get last() {
      return last
    },
    over() {
      stop()
      long = false
    },
  }
}

/** Stops a supervisor and the cloud's process under it; virtual machines are in other process groups. */
async function endAll(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await Promise.race([gone, systemClock.sleep(stopWithinMs)])
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Both processes have already ended.
  }
  await gone
}

/** Stops the daemons of this state directory; the virtual machines keep running. False if none were running. */
export async function stopBackground(config: Config, withinMs = stopWithinMs): Promise<boolean> {
  const pid = runningPid(config)
  if (pid === undefined) return false
  process.kill(pid, 'SIGTERM')
  // The end of another process raises no event: poll, for as long as a clean stop may take.
  for (let waited = 0; waited < withinMs; waited += 50) {
    if (runningPid(config) !== pid) return true
    await systemClock.sleep(50)
  }
  return fail('InvalidRequest', {
    what: `The cloud's process ${pid} did not stop within ${withinMs / 1000} s.`,
    hint: `Look at ${places(config.stateDir).log}; kill it with: kill -9 ${pid}`,
  })
}

/** The last fatal line of the log after its first `from` bytes, as the failure that the line describes. */
function lastWords(log: string, from: number, code: number): Error {
  const lines = readFileSync(log).subarray(from).toString().trimEnd().split('\n').reverse()
  for (const line of lines) {
    try {
      const { level, err } = JSON.parse(line) as {
        level: number
        err?: { message: string; code?: string; params?: unknown }
      }
      if (level < 60 || !err) continue
      // The log's message lists all causes after the first sentence; a failure has one sentence.
      const failure = err.code && err.code in failures ? new Failure(err.code as Code, err.params as never) : undefined
      if (isFailure(failure, 'ConfigInvalid')) return failure
      return new Failure('StartFailed', { why: failure?.message ?? err.message, log })
    } catch {
      // Not a line of our log: a message of node itself.
    }
  }
  const why = code === 0 ? 'it was stopped in the meantime.' : `exit code ${code}.`
  return new Failure('StartFailed', { why: fullDisk(dirname(log)) ?? why, log })
}

/** That the disk is full, which daemons cannot say themselves: they have no room for a line in the log. */
function fullDisk(dir: string): string | undefined {
  const { bavail, bsize } = statfsSync(dir)
  if (bavail * bsize >= fullBelowBytes) return undefined
  return `no space left on ${dir}. Free some, or choose another state directory: NOVA_STATE_DIR.`
}
