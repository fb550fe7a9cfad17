import { join } from 'node:path'
import { type ChildProcess, launch } from '../../base/exec.ts'
import { consoleMax } from '../console.ts'
import { consoleKeep } from './console.ts'
import { instancesDir, machinesLock } from './paths.ts'

/** How often logs are looked at for their size, in ms. */
const everyMs = 30_000

/**
 * Cuts logs as long as machines live, in a process of two megabytes: not in the daemon, which may be away while guests go on
 * printing. On a disk that is full nothing is kept of such a log. Machines append to their logs, so they go on at the new end; what is printed in that very moment may be lost.
 * Arguments: seconds between two looks, the lock that machines share, the most bytes of a log, and how many are kept of it.
 */
const script = `
umask 077
while sleep "$1"; do
  for log in */console.log */qemu.log; do
    size=$(stat -c %s "$log" 2>/dev/null) || continue
    [ "$size" -gt "$3" ] || continue
    tail -c "$4" "$log" >"$log.kept" && cat "$log.kept" >"$log" || : >"$log"
    rm -f "$log.kept"
  done
  [ -e "$2" ] || exit 0
  flock --nonblock "$2" true && exit 0
done`

/** Keeps the logs of a host's guests from filling its disk, whether the daemon lives or not: one process a host. */
export class LogKeeper {
  readonly #stateDir: string
  readonly #seconds: number
  #child: Promise<ChildProcess> | undefined

  constructor(stateDir: string, seconds = everyMs / 1000) {
    this.#stateDir = stateDir
    this.#seconds = seconds
  }

  /** Starts the keeper where there is none, of this life of the daemon or an earlier one. It ends when no machine lives. */
  async ensure(): Promise<void> {
    this.#child ??= this.#start()
    await this.#child
  }

  async #start(): Promise<ChildProcess> {
    try {
      const lock = join(this.#stateDir, 'log-keeper.lock')
      const words = [this.#seconds, machinesLock(this.#stateDir), consoleKeep, consoleMax].map(String)
      // A second one ends at once.
      const alone = ['--nonblock', '--no-fork', lock, 'sh', '-c', script, 'sh', ...words]
      const dir = instancesDir(this.#stateDir)
      const child = await launch('flock', alone, { cwd: dir, detached: true, stdio: 'ignore' })
      child.once('exit', () => {
        this.#child = undefined
      })
      child.unref()
      return child
    } catch (e) {
      this.#child = undefined
      throw e
    }
  }

  /** Ends the keeper if this daemon has started it; to be called where no machine lives. */
  async end(): Promise<void> {
    const pid = (await this.#child?.catch(() => undefined))?.pid
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It ended in between.
    }
  }
}
