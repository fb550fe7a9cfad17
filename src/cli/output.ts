import { invisible } from '../core/base/invisible.ts'
import { nearest } from '../core/base/near.ts'
import { cellText, visibleLines } from './cell-text.ts'
import { misuse } from './command-error.ts'
import type { Cell, Look, Row, View } from './view.ts'

type Columns = Pick<View<never>, 'columns' | 'table'>

/** Fails for columns that the view does not have, before the conductor is asked. */
export function checkColumns(wanted: readonly string[], view: Columns): void {
  const unknown = wanted.find((key) => !view.columns.includes(key))
  if (unknown === undefined) return
  const [near] = nearest(unknown, view.columns, 1)
  misuse(
    `There is no column "${unknown}".`,
    `${near ? `Did you mean ${near}? ` : ''}Columns: ${view.columns.join(', ')}`,
  )
}

/**
 * Writes a list. JSON, YAML and CSV have every column unless `-c` names some; table and value have the view's usual
 * ones.
 */
export async function renderRows(rows: readonly Row[], view: Columns, look: Look): Promise<string> {
  const keys = keysFor(view, look)
  switch (look.format) {
    case 'json':
      return json(rows.map((row) => pick(row, keys)))
    case 'yaml':
      return yaml(
        rows.map((row) => pick(row, keys)),
        look,
      )
    case 'csv':
      return [keys, ...rows.map((row) => cells(row, keys))].map((cells) => forReader(csvLine(cells), look)).join('')
    case 'value':
      return rows.map((row) => valueLine(cells(row, keys))).join('')
    case 'table': {
      const { drawTable } = await import('./table.ts')
      return drawTable(keys, rows, look)
    }
  }
}

/** Writes one thing: an object, a line of CSV, one value per line, or a table with a row for each field. */
export async function renderOne(row: Row, view: Columns, look: Look): Promise<string> {
  const keys = keysFor(view, look)
  switch (look.format) {
    case 'json':
      return json(pick(row, keys))
    case 'yaml':
      return yaml(pick(row, keys), look)
    case 'csv':
      return renderRows([row], view, look)
    case 'value':
      return cells(row, keys)
        .map((cell) => valueLine([cell]))
        .join('')
    case 'table': {
      const { drawFields } = await import('./table.ts')
      return drawFields(pick(row, keys), look)
    }
  }
}

function keysFor(view: Columns, look: Look): readonly string[] {
  if (look.columns.length > 0) return look.columns
  return look.format === 'table' || look.format === 'value' ? view.table : view.columns
}

const pick = (row: Row, keys: readonly string[]): Row => Object.fromEntries(keys.map((key) => [key, row[key] ?? null]))

/** JSON escapes what nobody sees, as every reader of JSON understands; `JSON.stringify` does that for some only. */
const json = (value: unknown): string =>
  `${JSON.stringify(value, null, 2).replace(invisible, (c) => (c === '\n' ? c : unitsOf(c)))}\n`

const unitsOf = (c: string): string =>
  Array.from({ length: c.length }, (_, i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')

async function yaml(value: unknown, look: Look): Promise<string> {
  const { stringify } = await import('yaml')
  return forReader(stringify(value), look)
}

/** A program gets the values as they are; on a terminal none of them may move the cursor, or the text beside it. */
const forReader = (text: string, { isTerminal }: Look): string => (isTerminal ? visibleLines(text) : text)

const cells = (row: Row, keys: readonly string[]): Cell[] => keys.map((key) => row[key] ?? null)

/** A line of CSV (RFC 4180): a cell with a comma, a quote or a line break is quoted. Lists and maps are JSON. */
export function csvLine(row: readonly Cell[]): string {
  const quoted = row.map((cell) => {
    const text = cell === null ? '' : typeof cell === 'object' ? JSON.stringify(cell) : String(cell)
    return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  })
  return `${quoted.join(',')}\n`
}

/**
 * A line for `read` and `cut`: blanks between cells; in a row of several cells, `-` stands for an absent value so that
 * each cell keeps its position.
 */
export function valueLine(row: readonly Cell[]): string {
  return `${row.map((cell) => cellText(cell) || (row.length > 1 ? '-' : '')).join(' ')}\n`
}
