import type { Event } from '../core/contracts/shapes.ts'
import { cellText } from './cell-text.ts'
import { csvLine, valueLine } from './output.ts'
import type { Cell, Look, Row } from './view.ts'
import { eventView } from './views.ts'

/** Writes events one by one as they come: a line each, in the requested format. */
export function eventWriter(look: Look): (event: Event) => string {
  const wanted = look.columns.length > 0 ? look.columns : undefined
  const cells = (row: Row, keys: readonly string[]): Cell[] => keys.map((key) => row[key] ?? null)
  let first = true
  return (event) => {
    const row = eventView.row(event)
    switch (look.format) {
      case 'json':
        return `${JSON.stringify(pick(row, wanted ?? eventView.columns))}\n`
      case 'yaml': {
        // A YAML list may be written item by item, and JSON is YAML.
        return `- ${JSON.stringify(pick(row, wanted ?? eventView.columns))}\n`
      }
      case 'csv': {
        const keys = wanted ?? eventView.columns
        const head = first ? csvLine([...keys]) : ''
        first = false
        return `${head}${csvLine(cells(row, keys))}`
      }
      case 'value':
        return valueLine(cells(row, wanted ?? eventView.table))
      case 'table':
        return wanted ? `${cells(row, wanted).map(cellText).join('  ')}\n` : sentence(event)
    }
  }
}

const pick = (row: Row, keys: readonly string[]): Row => Object.fromEntries(keys.map((key) => [key, row[key] ?? null]))

/** `2025-01-31T12:00:00.000Z instance.create.end     web on host1: message`. */
function sentence({ at, type, instanceName, host, message }: Event): string {
  const what = [instanceName ?? '', host ? `on ${host}` : ''].filter(Boolean).join(' ')
  const text = `${new Date(at).toISOString()}  ${type.padEnd(24)}  ${what}${message ? `: ${message}` : ''}`
  return `${cellText(text).trimEnd()}\n`
}
