import { pageDefault } from '../core/model/page.ts'

/** The part of a list that is asked for: nothing is its first page. */
type Asked = { limit?: number; marker?: string }

/**
 * A list: the page that somebody named, or else all of it, page by page. `idOf` tells what the next page goes on after. A
 * conductor that knows no pages gives everything at once.
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
