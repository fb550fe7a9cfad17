import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { launch } from '../core/base/exec.ts'
import { holdPidFile } from '../core/base/pid-file.ts'

/**
 * The small process behind `nova up`: runs the cloud's process, starts it again when it dies, and ends with it on
 * SIGTERM. Called as `supervisor PID-FILE PROGRAM ARGUMENT…`; tells its parent `{ ready }`, `{ failed: code }` or `{ taken: pid }` by the
 * channel that it was started with.
 */
async function supervise(pidFile: string, command: readonly string[]): Promise<number> {
  mkdirSync(dirname(pidFile), { recursive: true, mode: 0o700 })
  const hold = holdPidFile(pidFile)
  if (!hold.held) {
    process.send?.({ taken: hold.pid })
    return 0
  }

  let stopping = false
  let restartMs = 200
  for (;;) {
    const child = await launch(process.execPath, command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const stop = () => {
      stopping = true
      child.kill('SIGTERM')
    }
    process.on('SIGTERM', stop).on('SIGINT', stop)
    let ready = false
    child.on('message', (message) => {
      ready = true
      restartMs = 200
      if (process.connected) process.send?.(message)
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    process.off('SIGTERM', stop).off('SIGINT', stop)
    // A wrong configuration, or a cloud that never came up while somebody waits for it, is for a person to mend.
    if (stopping || code === 0 || code === 2 || (!ready && process.connected)) {
      if (process.connected) process.send?.({ failed: code ?? 1 })
      hold.release()
      return stopping ? 0 : (code ?? 1)
    }
    await new Promise((resolve) => setTimeout(resolve, restartMs))
    restartMs = Math.min(restartMs * 2, 10_000)
  }
}

const [pidFile = '', ...command] = process.argv.slice(2)
process.exitCode = await supervise(pidFile, command)
