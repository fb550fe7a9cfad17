/** Rows that a list has if its caller names no limit. A page of so many may have another one after it. */
export const pageDefault = 1000

/** Events that a list has if its caller names no limit. */
export const eventsDefault = 100

/**
 * The most bytes of rows, as JSON, in one answer: a quarter of the largest message, because texts are escaped once more
 * on their way.
 */
const pageBytesMax = 4 << 20

/** The rows of one answer, and whether it leaves some out. */
export type PageOf<T> = { rows: T[]; more?: true }

/** As many of these rows, from the first on, as one answer carries: at least one. */
export function inOneAnswer<T>(rows: T[]): PageOf<T> {
  let bytes = 0
  for (const [i, row] of rows.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(row))
    if (bytes > pageBytesMax && i > 0) return { rows: rows.slice(0, i), more: true }
  }
  return { rows }
}
