import { stripVTControlCharacters } from 'node:util'
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

/** Makes control characters visible. */
export const visible = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) =>
    c === '\n' ? '\\n' : c === '\t' ? '\\t' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )

/** Text of several lines without escape sequences and control characters. */
export const harmless = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  stripVTControlCharacters(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
