import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'

const run = promisify(execFile)

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

/**
 * Runs a program to its end, with next to no environment unless `env` gives one. Never through a shell. Resolves with its
 * exit code, 127 if there is no such program, 124 if it was killed because it ran longer than `timeoutMs` or because `stopAt`
 * returned true for its standard error so far. `signal` kills it as well.
 */
export async function exec(
  file: string,
  args: readonly string[],
  options: {
    timeoutMs?: number
    cwd?: string
    stopAt?: (stderr: string) => boolean
    signal?: AbortSignal
    env?: NodeJS.ProcessEnv
  } = {},
): Promise<Outcome> {
  const { stopAt } = options
  try {
    const running = run(file, args, {
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
      env: options.env ?? bareEnv(),
      maxBuffer: 64 << 20,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    let printed = ''
    if (stopAt)
      running.child.stderr?.on('data', (text: string) => {
        printed += text
        if (stopAt(printed)) running.child.kill('SIGKILL')
      })
    const { stdout, stderr } = await running
    return { code: 0, stdout, stderr }
  } catch (e) {
    const failed = e as { code?: number | string; killed?: boolean; stdout?: string; stderr?: string; message: string }
    const code =
      failed.code === 'ENOENT' ? 127 : failed.killed ? 124 : typeof failed.code === 'number' ? failed.code : 1
    return { code, stdout: failed.stdout ?? '', stderr: failed.stderr || failed.message }
  }
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
