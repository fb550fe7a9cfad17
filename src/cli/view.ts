/** The output formats. */
export const formats = ['table', 'json', 'yaml', 'csv', 'value'] as const
type Format = (typeof formats)[number]

/** How to write the answer, and onto what. */
export type Look = {
  readonly format: Format
  /** The columns of `-c`; empty for the usual ones. */
  readonly columns: readonly string[]
  /** Whether a terminal shows it: then nothing may move the cursor. */
  readonly isTerminal: boolean
  /** Columns of the terminal; undefined if lines may have any length: no terminal, or one that does not know its width. */
  readonly width: number | undefined
  readonly color: boolean
}

/** A value as every format can write it. An absent value is null, so that the keys of a row never change. */
export type Cell = string | number | boolean | null | readonly Cell[] | { readonly [key: string]: Cell }
export type Row = Readonly<Record<string, Cell>>

/** How things of one kind are shown: every column with its source, and the columns that a table shows by default. */
export type View<T> = {
  readonly columns: readonly string[]
  readonly table: readonly string[]
  row(thing: T): Row
}

/** Declares a view. Keys are lower-case snake_case: `-c` takes them and scripts rely on them. */
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
