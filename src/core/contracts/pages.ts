import { pageDefault } from '../model/page.ts'

/** The requested part of a list; without a limit, all of the list. */
type Asked = { limit?: number; marker?: string }
/** Rows of a list; `more` if others come after them that did not fit into the answer. */
type Page<T> = { rows: readonly T[]; more?: boolean | undefined }

type Ask<T> = (asked: Asked) => Promise<Page<T>>

/** The answer to a question for a list, whose rows are called `key` there. */
export const pageIn = <K extends string, T>(
  answer: { readonly [R in K]: readonly T[] } & { more?: boolean | undefined },
  key: K,
): Page<T> => ({ rows: answer[key], more: answer.more })

/**
 * A list: the requested part or, without one, all pages of `pageSize` rows in turn. `idOf` gives the marker for the next
 * page. A conductor that does not know pages returns everything at once.
 */
export function readList<T>(
  ask: Ask<T>,
  idOf: (row: T) => string,
  { pageSize = pageDefault, ...asked }: Asked & { pageSize?: number } = {},
): Promise<T[]> {
  return read(ask, idOf, asked, { most: asked.limit, pageSize })
}

/**
 * The requested part of a history or, without one, its newest rows alone: all of them would be too many. `note` says so if
 * there may be more.
 */
export async function readNewest<T>(
  ask: Ask<T>,
  idOf: (row: T) => string,
  asked: Asked,
  note: (text: string) => void,
): Promise<readonly T[]> {
  const rows = await read(ask, idOf, asked, { most: asked.limit ?? pageDefault, pageSize: pageDefault })
  if (asked.limit === undefined && rows.length === pageDefault)
    note(`There may be more. Continue with: --marker ${idOf(rows.at(-1) as T)}`)
  return rows
}

/** Rows from the asked part on, at most `most` of them, or all. Of a whole page, there may be another one after it. */
async function read<T>(
  ask: Ask<T>,
  idOf: (row: T) => string,
  asked: Asked,
  { most, pageSize }: { most: number | undefined; pageSize: number },
): Promise<T[]> {
  const rows: T[] = []
  const whole = pageSize === pageDefault ? {} : { limit: pageSize }
  for (let next: Asked = { ...whole, ...asked }; ; ) {
    const page = await ask(next)
    rows.push(...page.rows)
    const last = page.rows.at(-1)
    const left = most === undefined ? undefined : most - rows.length
    if (last === undefined || (left !== undefined && left <= 0)) return rows
    if (!page.more && (left !== undefined || page.rows.length !== pageSize)) return rows
    next = { marker: idOf(last), ...(left === undefined ? whole : { limit: left }) }
  }
}
