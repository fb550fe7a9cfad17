import { stripVTControlCharacters } from 'node:util'
import { invisible } from '../core/base/invisible.ts'
import type { Cell } from './view.ts'

/** The text of a cell on one line: control characters are made visible, so that no value can move the cursor. */
export function cellText(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return ''
  if (Array.isArray(cell)) return cell.map(cellText).join(', ')
  if (typeof cell === 'object')
    return Object.entries(cell)
      .map(([key, value]) => `${key}=${cellText(value)}`)
      .join(', ')
  return visible(String(cell))
}

/** Makes visible what nobody sees, and what would move the cursor or the text beside it. */
export const visible = (text: string): string => text.replace(invisible, shown)

/** The same for text of several lines. */
export const visibleLines = (text: string): string => text.replace(invisible, (c) => (c === '\n' ? c : shown(c)))

function shown(c: string): string {
  if (c === '\n') return '\\n'
  if (c === '\t') return '\\t'
  const code = (c.codePointAt(0) as number).toString(16)
  return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, '0')}`
}

/** Text of several lines without escape sequences and without what nobody sees. */
export const harmless = (text: string): string =>
  stripVTControlCharacters(text).replace(invisible, (c) => (c === '\n' || c === '\t' ? c : ''))
