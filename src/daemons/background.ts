import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock } from '../core/base/clock.ts'
import { Failure, fail } from '../core/base/errors.ts'
import { launch } from '../core/base/exec.ts'
import { livingPid } from '../core/base/pid-file.ts'
import type { Config } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'

/** The process of this state directory's cloud, if it runs. */
export const runningPid = (config: Config): number | undefined => livingPid(places(config.stateDir).pid)

/**
 * Starts `nova up --foreground` under the supervisor, away from the terminal, and returns when every service answers.
 * `root` is the package's directory, `flags` what the foreground process is to be called with. Where it does not come up,
 * the reason from its log is the failure.
 */
export async function startInBackground(config: Config, root: string, flags: readonly string[]): Promise<void> {
  const { pid, log } = places(config.stateDir)
  mkdirSync(dirname(log), { recursive: true, mode: 0o700 })
  const out = openSync(log, 'a', 0o600)
  const supervisor = join(root, 'dist', 'daemons', 'supervisor.js')
  const command = [join(root, 'bin', 'run.js'), 'up', '--foreground', ...flags]
  const child = await launch(process.execPath, [supervisor, pid, ...command], {
    detached: true,
    stdio: ['ignore', out, out, 'ipc'],
  })
  const outcome = await new Promise<{ ready?: boolean; failed?: number }>((resolve) => {
    child.once('message', (message) => resolve(message as { ready?: boolean; failed?: number }))
    child.once('exit', (code) => resolve({ failed: code ?? 1 }))
  })
  if (child.connected) child.disconnect()
  child.unref()
  if (!outcome.ready) throw lastWords(log, outcome.failed ?? 1)
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

/** The last fatal line of the log, as the failure that it tells of. */
function lastWords(log: string, code: number): Error {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').reverse()
  for (const line of lines.slice(0, 200)) {
    try {
      const entry = JSON.parse(line) as { level: number; err?: { message?: string; code?: string; params?: unknown } }
      if (entry.level < 60 || !entry.err) continue
      if (entry.err.code === 'ConfigInvalid') return new Failure('ConfigInvalid', entry.err.params as never)
      return new Failure('InvalidRequest', {
        what: `The cloud did not start: ${entry.err.message}`,
        hint: `Its log: ${log}`,
      })
    } catch {}
  }
  return new Failure('InvalidRequest', {
    what: `The cloud did not start (exit code ${code}).`,
    hint: `Its log: ${log}`,
  })
}
