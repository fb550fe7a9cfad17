import Table from 'cli-table3'
import { cellText } from './cell-text.ts'
import type { Cell, Look, Row } from './view.ts'

const borders = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
}

/** A column narrower than this (two characters are blanks) cannot be read: rows become blocks instead. */
const narrowest = 12

/** A table of rows. If the terminal is too narrow, cells wrap; if that is not enough, rows become blocks. */
export function drawTable(keys: readonly string[], rows: readonly Row[], look: Look): string {
  const cells = rows.map((row) => keys.map((key) => text(row[key] ?? null)))
  const drawn = draw(keys, cells, look, (cell, column) => paint(keys[column]!, cell))
  return (
    drawn ?? rows.map((row) => drawFields(Object.fromEntries(keys.map((k) => [k, row[k] ?? null])), look)).join('\n')
  )
}

/** A table with one row for each field of a thing. */
export function drawFields(fields: Row, look: Look): string {
  const entries = Object.entries(fields)
  const cells = entries.map(([key, value]) => [key, lines(value)])
  const drawn = draw(['field', 'value'], cells, look, (cell, column, row) =>
    column === 1 ? paint(entries[row]![0], cell) : cell,
  )
  return drawn ?? cells.map(([key, value]) => `${key}: ${value}\n`).join('')
}

const text = (cell: Cell): string => cellText(cell) || '-'

/** As {@link text}, with a line for each item if a cell holds several items with fields of their own. */
function lines(cell: Cell): string {
  if (cell === null || typeof cell !== 'object') return text(cell)
  const holds = Object.values(cell).some((part) => typeof part === 'object' && part !== null)
  if (!holds) return text(cell)
  if (Array.isArray(cell)) return cell.map(text).join('\n')
  return Object.entries(cell)
    .map(([key, part]) => `${key}: ${text(part)}`)
    .join('\n')
}

type Paint = (cell: string, column: number, row: number) => string

function draw(head: readonly string[], cells: readonly string[][], look: Look, colour: Paint): string | undefined {
  const make = (widths?: number[]): string => {
    const fit = (text: string, column: number) => (widths ? wrap(text, widths[column]! - 2) : text)
    const table = new Table({ head: head.map(fit), chars: borders, style: { head: [], border: [], compact: true } })
    const fitted = cells.map((row) => row.map(fit))
    table.push(...(look.color ? fitted.map((row, r) => row.map((cell, c) => colour(cell, c, r))) : fitted))
    return `${table.toString()}\n`
  }
  const drawn = make()
  const border = drawn.slice(0, drawn.indexOf('\n'))
  if (look.width === undefined || border.length <= look.width) return drawn
  const natural = border
    .slice(1, -1)
    .split('+')
    .map((dashes) => dashes.length)
  const widths = shrink(natural, head, look.width - natural.length - 1)
  return widths && make(widths)
}

/** Breaks lines that are longer than `width`: at a blank if there is one, otherwise anywhere. */
function wrap(text: string, width: number): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const lines: string[] = []
      let current = ''
      for (const letter of line) {
        if (columns(current) + columns(letter) > width) {
          const blank = current.lastIndexOf(' ')
          const at = blank > current.length / 2 ? blank + 1 : current.length
          lines.push(current.slice(0, at).trimEnd())
          current = current.slice(at)
        }
        current += letter
      }
      return [...lines, current]
    })
    .join('\n')
}

/** Characters that take two columns of a terminal. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const columns = (text: string): number => [...text].reduce((sum, letter) => sum + (wide.test(letter) ? 2 : 1), 0)

/** Narrows the widest columns until the table fits; columns of ids last, because half an id cannot be pasted. */
function shrink(natural: readonly number[], head: readonly string[], room: number): number[] | undefined {
  const widths = [...natural]
  const isId = head.map((key) => key === 'id' || key.endsWith('_id'))
  const total = () => widths.reduce((sum, width) => sum + width, 0)
  for (const ids of [false, true])
    while (total() > room) {
      const open = widths.map((width, i) => (isId[i] === ids && width > Math.min(narrowest, natural[i]!) ? width : 0))
      const widest = Math.max(...open)
      if (widest === 0) break
      widths[open.indexOf(widest)]! -= 1
    }
  return total() <= room ? widths : undefined
}

const shades: Readonly<Record<string, number>> = {
  ACTIVE: 32,
  up: 32,
  succeeded: 32,
  ERROR: 31,
  down: 31,
  failed: 31,
  BUILD: 33,
  running: 33,
  queued: 33,
  disabled: 33,
}

/** States are coloured as operators expect: green is good, yellow is in progress, red needs attention. */
function paint(key: string, cell: string): string {
  const shade = key === 'status' || key === 'state' ? shades[cell] : undefined
  return shade === undefined ? cell : `\u001b[${shade}m${cell}\u001b[39m`
}
