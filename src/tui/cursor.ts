/** The position in a list. The row is held by its id: it stays selected while other rows come and go above it. */
export type Cursor = { readonly id: string | undefined; readonly at: number; readonly first: number }

export const atTop: Cursor = { id: undefined, at: 0, first: 0 }

/** The cursor on these rows, of which `height` fit. If its row is gone, the cursor stays at that position. */
export function settle<T>(cursor: Cursor, rows: readonly T[], idOf: (row: T) => string, height: number): Cursor {
  if (rows.length === 0) return { ...atTop, id: cursor.id }
  const here = rows[cursor.at]
  let at = cursor.at
  if (cursor.id !== undefined && (here === undefined || idOf(here) !== cursor.id)) {
    const found = rows.findIndex((row) => idOf(row) === cursor.id)
    if (found >= 0) at = found
  }
  at = Math.min(Math.max(at, 0), rows.length - 1)
  const shift = cursor.first + (at - cursor.at)
  // Rows that change above the cursor do not move it on the screen, unless it would leave the screen.
  const first = at === cursor.at ? cursor.first : shift
  const lowest = Math.max(0, rows.length - height)
  const kept = Math.min(Math.max(first, at - height + 1, 0), at, Math.max(lowest, 0))
  return { id: idOf(rows[at]!), at, first: Math.max(kept, at - height + 1, 0) }
}

/** The cursor moved by a number of rows; it never leaves the rows. */
export function move<T>(cursor: Cursor, rows: readonly T[], idOf: (row: T) => string, by: number): Cursor {
  if (rows.length === 0) return cursor
  const at = Math.min(Math.max(cursor.at + by, 0), rows.length - 1)
  return { id: idOf(rows[at]!), at, first: cursor.first }
}
