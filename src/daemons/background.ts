import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock } from '../core/base/clock.ts'
import { type Code, Failure, fail, failures, isFailure } from '../core/base/errors.ts'
import { launch } from '../core/base/exec.ts'
import { livingPid } from '../core/base/pid-file.ts'
import { type Config, environmentOf } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'

/** The process of this state directory's cloud, if it runs. */
export const runningPid = (config: Config): number | undefined => livingPid(places(config.stateDir).pid)

/** What the supervisor tells: the cloud answers; it ended; or another process has this state directory. */
type Outcome = { ready?: true; failed?: number; taken?: number }

/**
 * Starts `nova up --foreground` under the supervisor, away from the terminal, and returns when every service answers; false
 * where another start was quicker. `root` is the package's directory, `settings` what this process was told by flags: it
 * goes by the environment, because everybody may read a command line. Where the cloud does not come up, the reason from
 * its log is the failure.
 */
export async function startInBackground(
  config: Config,
  root: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const { pid, log } = places(config.stateDir)
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
  const outcome = await new Promise<Outcome>((resolve) => {
    child.once('message', (message) => resolve(message as Outcome))
    child.once('exit', (code) => resolve({ failed: code ?? 1 }))
  })
  if (child.connected) child.disconnect()
  child.unref()
  if (outcome.ready || outcome.taken) return outcome.ready === true
  throw lastWords(log, size, outcome.failed ?? 1)
}

/** Stops the daemons of this state directory; the virtual machines run on. False where none ran. */
export async function stopBackground(config: Config, withinMs = 20_000): Promise<boolean> {
  const pid = runningPid(config)
  if (pid === undefined) return false
  process.kill(pid, 'SIGTERM')
  // Another process's end has no event: look, for as long as a clean stop may take.
  for (let waited = 0; waited < withinMs; waited += 50) {
    if (runningPid(config) !== pid) return true
    await systemClock.sleep(50)
  }
  return fail('InvalidRequest', {
    what: `The cloud's process ${pid} did not stop within ${withinMs / 1000} s.`,
    hint: `Look at ${places(config.stateDir).log}; end it with: kill -9 ${pid}`,
  })
}

/** The last fatal line that was logged since the file had `from` bytes, as the failure that it tells of. */
function lastWords(log: string, from: number, code: number): Error {
  const lines = readFileSync(log).subarray(from).toString().trimEnd().split('\n').reverse()
  for (const line of lines) {
    try {
      const { level, err } = JSON.parse(line) as {
        level: number
        err?: { message: string; code?: string; params?: unknown }
      }
      if (level < 60 || !err) continue
      // The log's message has those of all causes behind it; a failure says it in one sentence.
      const failure = err.code && err.code in failures ? new Failure(err.code as Code, err.params as never) : undefined
      if (isFailure(failure, 'ConfigInvalid')) return failure
      return new Failure('StartFailed', { why: failure?.message ?? err.message, log })
    } catch {
      // Not a line of the log: node itself said something.
    }
  }
  const why = code === 0 ? 'it was stopped meanwhile.' : `exit code ${code}.`
  return new Failure('StartFailed', { why, log })
}
