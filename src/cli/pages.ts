import { pageDefault } from '../core/model/page.ts'

/** The requested part of a list; if empty, the first page. */
type Asked = { limit?: number; marker?: string }

/**
 * A list: the requested page or, without one, all pages in turn. `idOf` gives the marker for the next page. A conductor
 * that does not know pages returns everything at once.
 */
export async function readList<T>(
  ask: (asked: Asked) => Promise<readonly T[]>,
  idOf: (row: T) => string,
  asked: Asked = {},
): Promise<T[]> {
  const rows = [...(await ask(asked))]
  if (asked.limit !== undefined) return rows
  for (let page: readonly T[] = rows; page.length === pageDefault; ) {
    page = await ask({ marker: idOf(page.at(-1) as T) })
    rows.push(...page)
  }
  return rows
}
