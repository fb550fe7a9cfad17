import { stripVTControlCharacters } from 'node:util'
import { visible } from '../cli/cell-text.ts'
import { letters, widthOf } from '../cli/text-width.ts'

/**
 * The meaning that a style gives a text. Never style alone: a state is always written as a word, too. No colour is used
 * as a background, and none is bright, so that all can be read on dark and on light terminals.
 */
export type Tone = 'plain' | 'good' | 'bad' | 'busy' | 'faint' | 'strong' | 'chosen'

const codes: Readonly<Record<Tone, readonly [on: number, off: number, isColour: boolean] | undefined>> = {
  plain: undefined,
  good: [32, 39, true],
  bad: [31, 39, true],
  busy: [35, 39, true],
  faint: [2, 22, false],
  strong: [1, 22, false],
  chosen: [7, 27, false],
}

/** Styles a text. */
export type Paint = (tone: Tone, text: string) => string

/** On a terminal without colours, bold and reversed text still work. */
export const painter =
  (colours: boolean): Paint =>
  (tone, text) => {
    const code = codes[tone]
    if (!code || text === '' || (code[2] && !colours)) return text
    return `\u001b[${code[0]}m${text}\u001b[${code[1]}m`
  }

/** Plain text, for a file or a pipe. */
export const unpainted: Paint = (_tone, text) => text

const ascii = /^[\u0020-\u007e]*$/

/** Text in exactly `width` columns: padded, or cut with `~` at the end. Control characters are made visible. */
export function cell(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  const shown = visible(text)
  const has = widthOf(shown)
  if (has <= width) return side === 'left' ? shown + ' '.repeat(width - has) : ' '.repeat(width - has) + shown
  if (width <= 0) return ''
  if (ascii.test(shown)) return `${shown.slice(0, width - 1)}~`
  let cut = ''
  let room = width - 1
  for (const { segment } of letters.segment(shown)) {
    const takes = widthOf(segment)
    if (takes > room) break
    cut += segment
    room -= takes
  }
  return `${cut}~${' '.repeat(room)}`
}

/** A styled line as it is if it fits, otherwise cut and without its style. */
export const clipped = (line: string, width: number): string =>
  line.length <= width || widthOf(line) <= width ? line : cell(stripVTControlCharacters(line), width)

/** Text in lines of at most `width` columns, broken at blanks if there are any. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of visible(text).split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
    while (widthOf(line) > width) {
      const head = cell(line, width).replace(/~ *$/, '')
      // A letter wider than the line would loop for ever.
      const taken = head === '' ? line.slice(0, 1) : head
      lines.push(taken)
      line = line.slice(taken.length)
    }
  }
  return [...lines, line]
}

/** `[||||||      45%]` in `width` columns; values above a hundred fill the bar. */
export function bar(used: number, of: number, width: number, paint: Paint): string {
  const share = of > 0 ? used / of : 0
  const inner = Math.max(width - 2, 0)
  const label = `${Math.round(share * 100)}%`
  const filled = Math.min(Math.round(share * inner), inner)
  const text =
    '|'
      .repeat(filled)
      .padEnd(inner)
      .slice(0, Math.max(0, inner - label.length)) + label
  return `[${paint(share >= 0.9 ? 'bad' : 'good', text.slice(0, filled))}${text.slice(filled)}]`
}

const tones: Readonly<Record<string, Tone>> = {
  ACTIVE: 'good',
  up: 'good',
  succeeded: 'good',
  ERROR: 'bad',
  down: 'bad',
  degraded: 'bad',
  failed: 'bad',
  BUILD: 'busy',
  running: 'busy',
  queued: 'busy',
  disabled: 'busy',
}
/** Green is good, magenta is in progress, red needs attention. */
export const toneOf = (state: string): Tone => tones[state] ?? 'plain'

/** How long ago, or how long: `45s`, `12m`, `3h`, `9d`. */
export function since(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

/** A time of day in the local time zone. */
export const timeOf = (ms: number): string => {
  const time = new Date(ms)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

/** How long a step took: `30ms`, `1.2s`, then as {@link since}. */
export const took = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms)}ms` : ms < 60_000 ? `${(ms / 1000).toFixed(1)}s` : since(ms)
