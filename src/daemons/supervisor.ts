import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemClock } from '../core/base/clock.ts'
import { type ChildProcess, launch, ownEnv } from '../core/base/exec.ts'
import { holdPidFile } from '../core/base/pid-file.ts'

/**
 * The small process behind `nova up`: runs the cloud's process, restarts it if it dies, and ends with it on SIGTERM.
 * Called as `supervisor PID-FILE PROGRAM ARGUMENT…`. It sends its parent `{ ready }`, `{ failed: code }` or `{ taken:
 * pid }` over the channel that it was started with, and before that what the cloud waits for: `{ waiting }`.
 */
async function supervise(pidFile: string, command: readonly string[]): Promise<number> {
  // From the first moment on: without its supervisor the cloud's process would continue alone.
  const stop = new AbortController()
  let child: ChildProcess | undefined
  const onSignal = () => {
    stop.abort()
    child?.kill('SIGTERM')
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  mkdirSync(dirname(pidFile), { recursive: true, mode: 0o700 })
  const hold = holdPidFile(pidFile)
  if (!hold.held) {
    process.send?.({ taken: hold.pid })
    return 0
  }

  let restartMs = 200
  while (!stop.signal.aborted) {
    const stdio = ['ignore' as const, 'inherit' as const, 'inherit' as const, 'ipc' as const]
    child = await launch(process.execPath, command, { env: ownEnv(), stdio })
    if (stop.signal.aborted) child.kill('SIGTERM')
    let ready = false
    child.on('message', (message) => {
      if ((message as { ready?: true }).ready) {
        ready = true
        restartMs = 200
      }
      if (process.connected) process.send?.(message)
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    child = undefined
    // A wrong configuration, or a cloud that never started while somebody waits for it, is for a person to fix.
    if (!stop.signal.aborted && (code === 0 || code === 2 || (!ready && process.connected))) {
      if (process.connected) process.send?.({ failed: code ?? 1 })
      hold.release()
      return code ?? 1
    }
    await systemClock.sleep(restartMs, stop.signal)
    restartMs = Math.min(restartMs * 2, 10_000)
  }
  if (process.connected) process.send?.({ failed: 0 })
  hold.release()
  return 0
}

const [pidFile = '', ...command] = process.argv.slice(2)
process.exitCode = await supervise(pidFile, command)
