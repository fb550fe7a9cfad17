import { Writable } from 'node:stream'
import { widthOf } from '../cli/text-width.ts'

/** What the screen needs of the terminal. */
export type Terminal = Pick<NodeJS.WriteStream, 'write' | 'columns' | 'rows' | 'on' | 'off'>

// The alternate page of the terminal, without a cursor; long lines do not wrap; pasted text comes between marks (DEC mode
// 2004), so that its letters are not taken for keys.
const enter = '\u001b[?1049h\u001b[?2004h\u001b[?25l\u001b[?7l\u001b[0m\u001b[H\u001b[2J'
const leave = '\u001b[0m\u001b[?7h\u001b[?25h\u001b[?2004l\u001b[?1049l'
// Terminals that support this show everything in between as one change (DEC mode 2026).
const begin = '\u001b[?2026h'
const end = '\u001b[?2026l'

/**
 * Takes whole frames and writes only the lines that differ from the last frame, so that nothing flickers. ink renders
 * to this stream; by itself, ink redraws all lines, and clears the terminal if they fill it.
 */
export class Screen extends Writable {
  readonly #terminal: Terminal
  #shown: string[] = []
  #isOpen = false

  constructor(terminal: Terminal) {
    super({ decodeStrings: false })
    this.#terminal = terminal
  }

  /** Columns of the terminal; some terminals report none. */
  get columns(): number {
    return this.#terminal.columns || 80
  }

  get rows(): number {
    return this.#terminal.rows || 24
  }

  /** Takes over the terminal. */
  open(): void {
    this.#isOpen = true
    this.#shown = []
    this.#terminal.write(enter)
  }

  /** Restores the terminal; may be called again. */
  restore(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#terminal.write(leave)
  }

  /** Forgets the last frame: the next one is drawn as a whole. */
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
      // Blanks, not an erasing sequence: that would erase the last letter of a full line.
      const blanks = ' '.repeat(Math.max(0, this.columns - widthOf(line)))
      changes += `\u001b[${i + 1};1H${line}\u001b[0m${blanks}`
    }
    this.#shown = lines
    if (changes !== '') this.#terminal.write(`${begin}${changes}${end}`)
  }
}
