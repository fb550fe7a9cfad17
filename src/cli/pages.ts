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

/**
 * The requested page of a history or, without one, its newest rows alone: all of them would be too many. `note` says so if
 * there may be more.
 */
export async function readNewest<T>(
  ask: (asked: Asked) => Promise<readonly T[]>,
  idOf: (row: T) => string,
  asked: Asked,
  note: (text: string) => void,
): Promise<readonly T[]> {
  const rows = await ask(asked)
  if (asked.limit === undefined && rows.length === pageDefault)
    note(`There may be more. Continue with: --marker ${idOf(rows.at(-1) as T)}`)
  return rows
}
