import type { CompiledQuery, QueryResult } from 'kysely'
import type { Db, DialectName } from './handle.ts'

/** Stands for a value in a query that is built before its values are known. */
class Slot {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

type Built<R> = { compile(): CompiledQuery<R> }
type Values = Readonly<Record<string, unknown>>

/** The texts that `prepared` has made. */
const texts = new Set<string>()

/** Whether a query is one of `prepared`: a server may keep how to run it. */
export const isPrepared = (sql: string): boolean => texts.has(sql)

/**
 * A query whose text is made once for each dialect and from then on only filled in: for what every boot asks and writes,
 * because making the text costs as much as the answer. `build` gets a stand-in for each value, which it may hand to Kysely
 * and do nothing else with; values that are left out make another text, so `build` may ask which are there. A limit that is
 * no value belongs into the text (`sql.lit`): servers take no prepared limit that is a floating-point number.
 */
export function prepared<V extends Values, R>(
  build: (db: Db, values: V) => Built<R>,
): (db: Db, values: V) => Promise<QueryResult<R>> {
  const made: Record<DialectName, Map<string, CompiledQuery<R>>> = { sqlite: new Map(), mysql: new Map() }
  const make = (db: Db, names: readonly string[]): CompiledQuery<R> => {
    const query = build(db, Object.fromEntries(names.map((name) => [name, new Slot(name)])) as unknown as V).compile()
    made[db.dialect].set(names.join(), query)
    texts.add(query.sql)
    return query
  }
  return (db, values) => {
    const names = Object.keys(values)
    const query = made[db.dialect].get(names.join()) ?? make(db, names)
    const fill = (value: unknown): unknown => (value instanceof Slot ? values[value.name] : value)
    return db.executeQuery({ ...query, parameters: query.parameters.map(fill) })
  }
}
