import { cellText } from './cell-text.ts'
import { letters, widthOf } from './text-width.ts'
import type { Cell, Look, Row } from './view.ts'

/** A column narrower than this cannot be read: columns are left out instead. */
const narrowest = 10
/** A list of fewer columns says too little: its rows become blocks instead. */
const fewest = 3
/** As many characters of an id as nova asks for at least. */
const shortId = 8

/**
 * A table of rows. If the terminal is too narrow and the user named no columns: columns without a value are left out, then
 * sentences wrap, then ids are shortened (every command takes the beginning of an id), then times and the last columns are
 * left out, which a line below the table says. No id is broken over two lines. If all that is not enough, rows become blocks.
 */
export function drawTable(keys: readonly string[], rows: readonly Row[], look: Look): string {
  const columns = keys.map((key) => columnOf(key, [key, ...rows.map((row) => text(row[key] ?? null))]))
  const shown = look.width === undefined ? columns : fitted(columns, look.width, look.columns.length > 0)
  if (!shown)
    return rows.map((row) => drawFields(Object.fromEntries(keys.map((k) => [k, row[k] ?? null])), look)).join('\n')
  const missing = columns.filter(
    ({ key, empty }) => !(empty && rows.length > 0) && !shown.some((column) => column.key === key),
  )
  const note = missing.map(({ key }) => key).join(', ')
  const table = draw(shown, look, (cell, column) => paint(shown[column]!.key, cell))
  if (note === '') return table
  const below = `Left out, because the terminal is narrow: ${note}. Choose columns with -c.`
  return `${table}${wrap(below, look.width ?? below.length).join('\n')}\n`
}

/** A table with one row for each field of a thing. */
export function drawFields(fields: Row, look: Look): string {
  const entries = Object.entries(fields)
  const columns = [
    columnOf('field', ['field', ...entries.map(([key]) => key)]),
    columnOf('value', ['value', ...entries.map(([, value]) => lines(value))]),
  ]
  const shown = look.width === undefined ? columns : fitted(columns, look.width, true)
  if (!shown) return entries.map(([key, value]) => `${key}: ${lines(value)}\n`).join('')
  return draw(shown, look, (cell, column, row) => (column === 1 ? paint(entries[row]![0], cell) : cell))
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

/** One column of a table: its head, then its cells. `width` is in columns of the terminal, without the blanks around. */
type Column = {
  key: string
  cells: readonly string[]
  width: number
  /** Its widest word with an id in it: a narrower column would break the id. */
  idWidth: number
  /** None of its cells has a value. */
  empty: boolean
}

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/
const time = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

function columnOf(key: string, cells: readonly string[]): Column {
  let width = 0
  let idWidth = 0
  for (const cell of cells) {
    width = Math.max(width, cell.includes('\n') ? Math.max(...cell.split('\n').map(widthOf)) : widthOf(cell))
    if (cell.length >= 36 && uuid.test(cell))
      for (const word of cell.split(/\s+/)) if (uuid.test(word)) idWidth = Math.max(idWidth, widthOf(word))
  }
  return { key, cells, width, idWidth, empty: cells.every((cell, i) => i === 0 || cell === '-') }
}

/** The columns as they fit into `width`; undefined if they do not. If the user has `chosen` them, none is left out or shortened. */
function fitted(all: readonly Column[], width: number, chosen: boolean): readonly Column[] | undefined {
  let columns = all
  const over = () => columns.reduce((sum, column) => sum + column.width + 3, 1) - width
  const isProse = ({ cells }: Column) => cells.some((cell) => cell.includes(' '))
  if (over() > 0 && !chosen && columns[0]?.cells.length !== 1) columns = columns.filter(({ empty }) => !empty)
  columns = narrow(columns, over(), isProse)
  if (over() > 0 && !chosen) columns = columns.map(shortened)
  while (over() > 0 && !chosen && columns.length > fewest) {
    const times = columns.findLastIndex(
      ({ cells }) => cells.length > 1 && cells.every((c, i) => i === 0 || time.test(c)),
    )
    columns = columns.filter((_, i) => i !== (times < 0 ? columns.length - 1 : times))
  }
  columns = narrow(columns, over(), () => true)
  return over() > 0 ? undefined : columns
}

/** Takes `excess` from the widest of the columns that may be narrowed, as far as they can still be read. */
function narrow(columns: readonly Column[], excess: number, may: (column: Column) => boolean): readonly Column[] {
  const widths = columns.map(({ width }) => width)
  const least = columns.map((column) =>
    may(column) ? Math.max(Math.min(narrowest, column.width), column.idWidth) : column.width,
  )
  for (let left = excess; left > 0; left--) {
    const open = widths.map((width, i) => (width > least[i]! ? width : 0))
    const widest = Math.max(0, ...open)
    if (widest === 0) break
    widths[open.indexOf(widest)]! -= 1
  }
  return columns.map((column, i) => ({ ...column, width: widths[i]! }))
}

/** A column of ids with only the beginnings of them, as long as they must be to differ. */
function shortened(column: Column): Column {
  const [head = '', ...ids] = column.cells
  if (!ids.some((id) => uuid.test(id)) || !ids.every((id) => id === '-' || (id.length === 36 && uuid.test(id))))
    return column
  const different = new Set(ids).size
  let length = shortId
  while (new Set(ids.map((id) => id.slice(0, length))).size < different) length++
  return columnOf(column.key, [head, ...ids.map((id) => id.slice(0, length))])
}

type Paint = (cell: string, column: number, row: number) => string

function draw(columns: readonly Column[], look: Look, colour: Paint): string {
  const border = `+${columns.map(({ width }) => '-'.repeat(width + 2)).join('+')}+\n`
  const out: string[] = [border]
  const rows = columns[0]?.cells.length ?? 0
  for (let r = 0; r < rows; r++) {
    const cells = columns.map(({ cells, width }) => wrap(cells[r]!, width))
    const height = Math.max(...cells.map((lines) => lines.length))
    for (let l = 0; l < height; l++) {
      const line = cells.map((lines, c) => {
        const part = lines[l] ?? ''
        const painted = look.color && r > 0 ? colour(part, c, r - 1) : part
        return ` ${painted}${' '.repeat(columns[c]!.width - widthOf(part))} `
      })
      out.push(`|${line.join('|')}|\n`)
    }
    if (r === 0 && rows > 1) out.push(border)
  }
  return `${out.join('')}${border}`
}

/** The lines of a cell, each at most `width` wide: broken between words if possible, otherwise between letters. */
function wrap(cell: string, width: number): string[] {
  if (!cell.includes('\n') && widthOf(cell) <= width) return [cell]
  return cell.split('\n').flatMap((line) => {
    if (widthOf(line) <= width) return [line]
    const lines: string[] = []
    let current = ''
    for (const word of line.split(/(?<= )/)) {
      if (widthOf(current + word.trimEnd()) <= width) {
        current += word
        continue
      }
      if (current !== '') lines.push(current.trimEnd())
      current = ''
      for (const { segment } of widthOf(word.trimEnd()) <= width ? [{ segment: word }] : letters.segment(word)) {
        if (widthOf((current + segment).trimEnd()) > width) {
          lines.push(current)
          current = ''
        }
        current += segment
      }
    }
    return [...lines, current.trimEnd()]
  })
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
