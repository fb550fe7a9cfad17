import { ownEnv } from '../core/base/exec.ts'
import { visible, visibleLines } from './cell-text.ts'
import type { Look } from './view.ts'

/**
 * Whether standard output is a terminal, its width, and whether it takes colours (NO_COLOR, TERM=dumb).
 */
export function outputTerminal(): Pick<Look, 'isTerminal' | 'width' | 'color'> {
  const { stdout } = process
  if (!stdout.isTTY) return { isTerminal: false, width: undefined, color: false }
  // Some terminals report a width of 0 columns, as serial lines do.
  return { isTerminal: true, width: stdout.columns || undefined, color: stdout.hasColors() }
}

/** Whether standard error is a terminal on which a line can be redrawn. */
export const errorTerminal = (): boolean => process.stderr.isTTY === true && process.stderr.hasColors()

/** Whether a person can be asked. */
export const inputTerminal = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

/** Asks a person; every answer but yes is no. */
export async function confirm(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-D, or Ctrl-C.
  const left = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  const answer = await Promise.race([lines.question(`${visible(question)} [y/N] `), left])
  lines.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** Whether the terminal can only write line after line. */
export const isDumbTerminal = (): boolean => ownEnv().TERM === 'dumb'

/** Whether a whole screen can be drawn here and keys can be read. */
export const drawableTerminal = (): boolean =>
  process.stdin.isTTY === true && process.stdout.isTTY === true && !isDumbTerminal()

/** Columns of the terminal behind standard error. */
export const errorWidth = (): number => process.stderr.columns || 80

/** Writes to standard output: the answer. */
export const writeOut = (text: string): void => void process.stdout.write(text)
/** Writes to standard error: everything but the answer. Whatever words of others are in it, none moves the cursor. */
export const writeError = (text: string): void => writeRaw(visibleLines(text))
/** Writes to a terminal's standard error what is meant to move its cursor. */
export const writeRaw = (text: string): void => void process.stderr.write(text)

/**
 * If the reader has gone away (`nova list | head -1`), the command ends without a word; if the disk is full, with an
 * error.
 */
export function leaveWithReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (e: NodeJS.ErrnoException) => {
      if (e.code === 'EPIPE') process.exit(0)
      if (stream === process.stdout)
        writeError(`nova: The answer cannot be written: ${e.message.replace(/^\w+: /, '')}.\n`)
      process.exit(1)
    })
}

/** Waits until all output is flushed: pipes may be asynchronous, and an exit would lose their data. */
export async function flush(): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    await new Promise<void>((resolve) => stream.write('', () => resolve()))
}
