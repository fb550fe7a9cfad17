import { pageDefault } from '../core/model/page.ts'

/** The requested part of a list; without a limit, all of the list. */
type Asked = { limit?: number; marker?: string }
/** Rows of a list; `more` if others come after them that did not fit into the answer. */
type Page<T> = { rows: readonly T[]; more?: boolean | undefined }

/** The answer to a question for a list, whose rows are called `key` there. */
export const pageIn = <K extends string, T>(
  answer: { readonly [R in K]: readonly T[] } & { more?: boolean | undefined },
  key: K,
): Page<T> => ({ rows: answer[key], more: answer.more })

/**
 * A list: the requested part or, without one, all pages of `pageSize` rows in turn. `idOf` gives the marker for the next
 * page. A conductor that does not know pages returns everything at once.
 */
export async function readList<T>(
  ask: (asked: Asked) => Promise<Page<T>>,
  idOf: (row: T) => string,
  { pageSize = pageDefault, ...asked }: Asked & { pageSize?: number } = {},
): Promise<T[]> {
  const rows: T[] = []
  const whole = pageSize === pageDefault ? {} : { limit: pageSize }
  for (let next: Asked = { ...whole, ...asked }; ; ) {
    const page = await ask(next)
    rows.push(...page.rows)
    const marker = page.rows.at(-1)
    const left = asked.limit === undefined ? undefined : asked.limit - rows.length
    if (marker === undefined || (left !== undefined && left <= 0)) return rows
    if (!page.more && (left !== undefined || page.rows.length !== pageSize)) return rows
    next = { marker: idOf(marker), ...(left === undefined ? whole : { limit: left }) }
  }
}

/**
 * The requested part of a history or, without one, its newest rows alone: all of them would be too many. `note` says so if
 * there may be more.
 */
export async function readNewest<T>(
  ask: (asked: Asked) => Promise<Page<T>>,
  idOf: (row: T) => string,
  asked: Asked,
  note: (text: string) => void,
): Promise<readonly T[]> {
  const first = await ask(asked)
  const most = asked.limit ?? pageDefault
  const last = first.rows.at(-1)
  const rest =
    first.more && last !== undefined && first.rows.length < most
      ? await readList(ask, idOf, { limit: most - first.rows.length, marker: idOf(last) })
      : []
  const rows = [...first.rows, ...rest]
  if (asked.limit === undefined && rows.length === pageDefault)
    note(`There may be more. Continue with: --marker ${idOf(rows.at(-1) as T)}`)
  return rows
}
