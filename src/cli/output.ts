import { nearest } from '../core/base/near.ts'
import { cellText } from './cell-text.ts'
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
      return `${JSON.stringify(
        rows.map((row) => pick(row, keys)),
        null,
        2,
      )}\n`
    case 'yaml':
      return yaml(rows.map((row) => pick(row, keys)))
    case 'csv':
      return [keys, ...rows.map((row) => cells(row, keys))].map(csvLine).join('')
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
      return `${JSON.stringify(pick(row, keys), null, 2)}\n`
    case 'yaml':
      return yaml(pick(row, keys))
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

async function yaml(value: unknown): Promise<string> {
  const { stringify } = await import('yaml')
  return stringify(value)
}

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
