/** The part of a statement of `node:sqlite` that reads rows; `setReturnArrays` is missing in older versions of Node.js. */
export type Readable = {
  all(...parameters: unknown[]): unknown[]
  columns(): ReadonlyArray<{ name: string }>
  setReturnArrays?(on: boolean): void
}

/**
 * How to read the rows of a statement. As arrays, out of which the objects are made here: the library names each value of
 * each row anew, which takes longer than to find them.
 */
export function rowReader(statement: Readable): (parameters: readonly unknown[]) => unknown[] {
  if (!statement.setReturnArrays) return (parameters) => statement.all(...parameters)
  statement.setReturnArrays(true)
  let names = namesOf(statement)
  return (parameters) => {
    const rows = statement.all(...parameters) as unknown[][]
    // SQLite prepares a statement again by itself if its tables have other columns now.
    if (rows[0] && rows[0].length !== names.length) names = namesOf(statement)
    return rows.map((values) => named(names, values))
  }
}

const namesOf = (statement: Readable): string[] => statement.columns().map(({ name }) => name)

function named(names: readonly string[], values: readonly unknown[]): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (const [i, name] of names.entries()) row[name] = values[i]
  return row
}
