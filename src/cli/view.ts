/** How an answer may be written. */
export const formats = ['table', 'json', 'yaml', 'csv', 'value'] as const
type Format = (typeof formats)[number]

/** How the answer is to be written, and onto what. */
export type Look = {
  readonly format: Format
  /** What `-c` asked for; empty for the usual columns. */
  readonly columns: readonly string[]
  /** Columns of the terminal; undefined where the output is no terminal and lines may be of any length. */
  readonly width: number | undefined
  readonly color: boolean
}

/** A value as every format can write it. Absent is null, so that the keys of a row never change. */
export type Cell = string | number | boolean | null | readonly Cell[] | { readonly [key: string]: Cell }
export type Row = Readonly<Record<string, Cell>>

/** How things of one kind are shown: every column with where it comes from, and those that a table has by itself. */
export type View<T> = {
  readonly columns: readonly string[]
  readonly table: readonly string[]
  row(thing: T): Row
}

/** Declares a view. Keys are lower-case snake_case: they are what `-c` takes and what scripts rely on. */
export function view<T, F extends Readonly<Record<string, (thing: T) => Cell | undefined>>>(
  fields: F,
  table: readonly (keyof F & string)[] = Object.keys(fields),
): View<T> {
  const entries = Object.entries(fields)
  return {
    columns: Object.keys(fields),
    table,
    row: (thing) => Object.fromEntries(entries.map(([key, of]) => [key, of(thing) ?? null])),
  }
}

/** A time in milliseconds as ISO 8601 in UTC, with milliseconds. */
export const iso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString())
