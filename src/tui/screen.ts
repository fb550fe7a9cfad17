import { Writable } from 'node:stream'
import stringWidth from 'string-width'

/** The terminal as the screen needs it. */
export type Terminal = Pick<NodeJS.WriteStream, 'write' | 'columns' | 'rows' | 'on' | 'off'>

// The other page of the terminal, without a cursor; lines that are too long do not go on in the next one.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[0m\u001b[H\u001b[2J'
const leave = '\u001b[0m\u001b[?7h\u001b[?25h\u001b[?1049l'
// Terminals that know it show what stands between as one change (DEC mode 2026).
const begin = '\u001b[?2026h'
const end = '\u001b[?2026l'

/**
 * Takes whole frames and writes to the terminal the lines that differ from the last one, so that nothing flickers. It is
 * the stream that ink renders to: ink by itself draws all lines anew, and wipes the terminal where they fill it.
 */
export class Screen extends Writable {
  readonly #terminal: Terminal
  #shown: string[] = []
  #isOpen = false

  constructor(terminal: Terminal) {
    super({ decodeStrings: false })
    this.#terminal = terminal
  }

  /** Columns of the terminal; some say that they have none. */
  get columns(): number {
    return this.#terminal.columns || 80
  }

  get rows(): number {
    return this.#terminal.rows || 24
  }

  /** Takes the terminal. */
  open(): void {
    this.#isOpen = true
    this.#shown = []
    this.#terminal.write(enter)
  }

  /** Gives the terminal back as it was; may be said again. */
  restore(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#terminal.write(leave)
  }

  /** Forgets what is shown: the next frame is drawn as a whole. */
  wipe(): void {
    if (!this.#isOpen) return
    this.#shown = []
    this.#terminal.write('\u001b[0m\u001b[2J')
  }

  override _write(frame: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#isOpen && frame.length > 0) this.#draw(String(frame).split('\n').slice(0, this.rows))
    done()
  }

  #draw(lines: string[]): void {
    let changes = ''
    for (let i = 0; i < Math.max(lines.length, this.#shown.length); i++) {
      const line = lines[i] ?? ''
      if (line === this.#shown[i]) continue
      // Blanks, not an erasing sequence: that would take the last letter of a full line with it.
      const blanks = ' '.repeat(Math.max(0, this.columns - stringWidth(line)))
      changes += `\u001b[${i + 1};1H${line}\u001b[0m${blanks}`
    }
    this.#shown = lines
    if (changes !== '') this.#terminal.write(`${begin}${changes}${end}`)
  }
}
