import type { CompiledQuery, QueryResult } from 'kysely'
import type { Db, DialectName } from './handle.ts'

/** Stands for a value in a query that is built before its values are known. */
class Slot {
  readonly at: number
  constructor(at: number) {
    this.at = at
  }
}

type Built<R> = { compile(): CompiledQuery<R> }

/**
 * A query whose text is made once for each dialect and from then on only filled in: for queries of many columns that every
 * boot asks, because making their text costs as much as the answer. `build` gets a stand-in for each value, which it may
 * hand to Kysely and do nothing else with.
 */
export function prepared<P extends readonly unknown[], R>(
  build: (db: Db, ...values: P) => Built<R>,
): (db: Db, ...values: P) => Promise<QueryResult<R>> {
  const made = new Map<DialectName, CompiledQuery<R>>()
  const make = (db: Db, count: number): CompiledQuery<R> => {
    const slots = Array.from({ length: count }, (_, i) => new Slot(i)) as readonly unknown[] as P
    const query = build(db, ...slots).compile()
    made.set(db.dialect, query)
    return query
  }
  return (db, ...values) => {
    const query = made.get(db.dialect) ?? make(db, values.length)
    const fill = (value: unknown): unknown => (value instanceof Slot ? values[value.at] : value)
    return db.executeQuery({ ...query, parameters: query.parameters.map(fill) })
  }
}
