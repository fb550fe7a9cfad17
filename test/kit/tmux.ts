import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { missing } from './missing.ts'

const run = promisify(execFile)
const againMs = 20
const patienceMs = 15_000

/** Whether there is a tmux here. */
export function hasTmux(): boolean {
  try {
    execFileSync('tmux', ['-V'])
    return true
  } catch {
    missing('tmux', 'there is no tmux; apt-get install tmux')
    return false
  }
}

/** A terminal that a program can be watched in and typed to: a tmux server of its own with one window. */
export class Tmux {
  readonly #socket: string

  private constructor(socket: string) {
    this.#socket = socket
  }

  /** Starts `command` (of a shell) in a terminal of that size. What it leaves on the screen stays after its end. */
  static async open(
    command: string,
    { env = {}, columns = 80, rows = 24 }: { env?: Record<string, string>; columns?: number; rows?: number } = {},
  ): Promise<Tmux> {
    const tmux = new Tmux(`nova-test-${process.pid}-${performance.now().toFixed(3).replace('.', '')}`)
    // `-f /dev/null` so that nobody's own settings are read; -u: it is UTF-8 whatever the locale says.
    const said = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`])
    await run('tmux', [
      ...['-u', '-L', tmux.#socket, '-f', '/dev/null', 'new-session', '-d', '-s', 'main'],
      ...['-x', String(columns), '-y', String(rows), ...said, 'sh', '-c', command],
    ])
    return tmux
  }

  async #ask(...args: string[]): Promise<string> {
    return (await run('tmux', ['-u', '-L', this.#socket, ...args], { maxBuffer: 8 << 20 })).stdout
  }

  /** Presses keys, by tmux's names: `Enter`, `Escape`, `PPage`, or letters. */
  async keys(...keys: string[]): Promise<void> {
    await this.#ask('send-keys', '-t', 'main', ...keys)
  }

  /** Pastes text as a terminal does: between marks, if the program has asked for them. */
  async paste(text: string): Promise<void> {
    await this.#ask('set-buffer', '--', text)
    await this.#ask('paste-buffer', '-p', '-t', 'main')
  }

  /** What stands on the screen; with its colours as escape sequences where asked. */
  screen(looks = false): Promise<string> {
    return this.#ask('capture-pane', '-p', ...(looks ? ['-e'] : []), '-t', 'main')
  }

  /** What tmux knows of the terminal, as `alternate_on` or `pane_pid`. */
  async fact(name: string): Promise<string> {
    return (await this.#ask('display-message', '-p', '-t', 'main', `#{${name}}`)).trim()
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#ask('resize-window', '-t', 'main', '-x', String(columns), '-y', String(rows))
  }

  /** The screen, as soon as it is as wanted. Fails with what is there where it does not come to that. */
  async until(wanted: RegExp | ((screen: string) => boolean), ms = patienceMs): Promise<string> {
    const end = performance.now() + ms
    for (;;) {
      const screen = await this.screen()
      if (typeof wanted === 'function' ? wanted(screen) : wanted.test(screen)) return screen
      if (performance.now() > end) throw new Error(`The screen never came to ${wanted}:\n${screen}`)
      await new Promise((resolve) => setTimeout(resolve, againMs))
    }
  }

  async close(): Promise<void> {
    await this.#ask('kill-server').catch(() => undefined)
  }
}
