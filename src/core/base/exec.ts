import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { reason } from './errors.ts'

export type { ChildProcess }

/** The result of a program that ended: its exit code and its output. */
export type Outcome = { code: number; stdout: string; stderr: string }

/**
 * What other programs get of our environment. The rest is ours: passwords of the bus and of the database may stand there, and
 * every program that a guest breaks out of could read them.
 */
const bareEnv = (): NodeJS.ProcessEnv => ({ PATH: process.env.PATH, LANG: 'C.UTF-8' })

/** Our own environment, for programs that are ours or that act for the person at the terminal. */
export const ownEnv = (): NodeJS.ProcessEnv => process.env

/** What a program may print before it is killed, in bytes. */
const mostPrinted = 64 << 20

/**
 * Runs a program to its end, with next to no environment unless `env` gives one. Never through a shell. `files` are open
 * files that it gets, as its file numbers 3, 4, … Resolves with its exit code; 127 if there is no such program; 124 if it was
 * killed because it ran longer than `timeoutMs`, because `signal` aborted, or because `stopAt` returned true for its standard
 * error so far; 128 and the signal's number if a signal ended it otherwise.
 */
export function exec(
  file: string,
  args: readonly string[],
  options: {
    timeoutMs?: number
    cwd?: string
    stopAt?: (stderr: string) => boolean
    signal?: AbortSignal | undefined
    env?: NodeJS.ProcessEnv
    files?: readonly number[]
  } = {},
): Promise<Outcome> {
  const { cwd, env = bareEnv(), files = [], signal, stopAt, timeoutMs = 60_000 } = options
  if (signal?.aborted) return Promise.resolve({ code: 124, stdout: '', stderr: reason(signal.reason) })
  return new Promise((resolve) => {
    const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe', ...files] })
    const [out, err] = [child.stdout as Readable, child.stderr as Readable]
    const printed = { stdout: '', stderr: '' }
    let killed = false
    const kill = () => {
      killed = true
      child.kill('SIGKILL')
      // A program that it started may hold them open.
      out.destroy()
      err.destroy()
    }
    const late = setTimeout(kill, timeoutMs)
    signal?.addEventListener('abort', kill)
    const end = (code: number, why = '') => {
      clearTimeout(late)
      signal?.removeEventListener('abort', kill)
      resolve({ code, stdout: printed.stdout, stderr: printed.stderr || why })
    }
    const read = (from: Readable, into: keyof typeof printed) =>
      from.setEncoding('utf8').on('data', (text: string) => {
        printed[into] += text
        if (printed[into].length > mostPrinted || (into === 'stderr' && stopAt?.(printed.stderr))) kill()
      })
    read(out, 'stdout')
    read(err, 'stderr')
    child.on('error', (e: NodeJS.ErrnoException) => end(e.code === 'ENOENT' ? 127 : 1, e.message))
    child.on('close', (code, by) => {
      const why = killed ? 'it was killed' : code === 0 ? '' : `it ended with ${by ?? `code ${code}`}`
      end(killed ? 124 : (code ?? 128 + (by === null ? 0 : constants.signals[by])), why)
    })
  })
}

/**
 * Starts a program, with next to no environment unless `env` gives one, and leaves it to the caller. Resolves when it runs;
 * rejects if it cannot be started.
 */
export async function launch(file: string, args: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
  const child = spawn(file, args, { env: bareEnv(), ...options })
  await once(child, 'spawn')
  return child
}
