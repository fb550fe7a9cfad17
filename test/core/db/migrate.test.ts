import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { MysqlAdapter, sql } from 'kysely'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { migrations } from '../../../migrations/index.ts'
import { databaseVersion, newestVersion, syncDatabase, unsyncDatabase } from '../../../src/core/db/migrate.ts'
import { openDatabase } from '../../../src/core/db/open.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'

const open: TestDatabase[] = []
afterEach(async () => {
  for (const database of open.splice(0)) await database.drop()
})

/** Table → its columns, with a question mark behind those that may be null. */
type Tables = Record<string, string[]>

async function actual({ db }: TestDatabase): Promise<Tables> {
  const tables = await db.introspection.getTables()
  return Object.fromEntries(
    tables.map((table) => [
      table.name,
      table.columns.map((column) => (column.isNullable ? `${column.name}?` : column.name)).sort(),
    ]),
  )
}

/** What src/core/db/schema.ts says. */
function declared(): Tables {
  const text = readFileSync(resolve(import.meta.dirname, '../../../src/core/db/schema.ts'), 'utf8')
  const body = text.slice(text.indexOf('export type Database'))
  const tables = [...body.matchAll(/^ {2}(\w+): \{([^}]*)\}/gm)].map(([, name, columns]) => [
    name,
    [...(columns as string).matchAll(/(\w+): ([^\n;]+)/g)]
      .map(([, column, type]) => (/\bnull\b/.test(type as string) ? `${column}?` : column))
      .sort(),
  ])
  return Object.fromEntries(tables)
}

/** The foreign keys of all tables, as `table.column → table.column`, and what a deletion of the row that they name does. */
async function foreignKeys(name: string, { db }: TestDatabase): Promise<string[]> {
  type Row = { from: string; column: string; to: string; key: string; rule: string }
  const { rows } =
    name === 'mysql'
      ? await sql<Row>`
          select k.table_name as \`from\`, k.column_name as \`column\`, k.referenced_table_name as \`to\`,
            k.referenced_column_name as \`key\`, r.delete_rule as rule
          from information_schema.key_column_usage k
          join information_schema.referential_constraints r
            on r.constraint_schema = k.constraint_schema and r.constraint_name = k.constraint_name
            and r.table_name = k.table_name
          where k.table_schema = database() and k.referenced_table_name is not null`.execute(db)
      : await sql<Row>`
          select m.name as "from", f."from" as "column", f."table" as "to", f."to" as "key", f.on_delete as rule
          from sqlite_master m join pragma_foreign_key_list(m.name) f where m.type = 'table'`.execute(db)
  const cascades = ({ rule }: Row) => (rule === 'CASCADE' ? ', cascading' : '')
  return rows.map((row) => `${row.from}.${row.column} → ${row.to}.${row.key}${cascades(row)}`).sort()
}

/** What the migrations say of foreign keys. */
function declaredKeys(): string[] {
  const folder = resolve(import.meta.dirname, '../../../migrations')
  const text = Object.keys(migrations).map((name) => readFileSync(join(folder, `${name}.ts`), 'utf8'))
  const keys: string[] = []
  for (const part of text.join('\n').split(/\.(?=createTable\(|alterTable\()/)) {
    const table = /^\w+Table\('(\w+)'/.exec(part)?.[1]
    const constraint = /addForeignKeyConstraint\('\w+', \['(\w+)'\], '(\w+)', \['(\w+)'\](.*)/g
    for (const [, column, to, key, rest] of part.matchAll(constraint))
      keys.push(`${table}.${column} → ${to}.${key}${/^, \(c\) =>/.test(rest as string) ? ', cascading' : ''}`)
  }
  return keys.sort()
}

describe.each(await databases())('on $name', ({ name, open: fresh }) => {
  const start = async () => {
    const database = await fresh()
    open.push(database)
    return database
  }

  test('an empty database is brought to the newest version, once', async () => {
    const { db } = await start()
    expect(await databaseVersion(db)).toBe('none')
    expect(await syncDatabase(db)).toEqual({ applied: Object.keys(migrations), version: newestVersion() })
    expect(await syncDatabase(db)).toEqual({ applied: [], version: newestVersion() })
  })

  test('the tables are those of schema.ts', async () => {
    const database = await start()
    await syncDatabase(database.db)
    expect(await actual(database)).toEqual(declared())
  })

  test('the foreign keys are those of the migrations', async () => {
    const database = await start()
    await syncDatabase(database.db)
    const keys = declaredKeys()
    expect(keys).toContain('allocations.host → hosts.name')
    expect(keys).toContain('operation_hosts.operation_id → operations.id, cascading')
    expect(await foreignKeys(name, database)).toEqual(keys)
  })

  test('up, down and up again gives the same tables', async () => {
    const database = await start()
    await syncDatabase(database.db)
    const first = await actual(database)
    await unsyncDatabase(database.db)
    expect(await actual(database)).toEqual({})
    await syncDatabase(database.db)
    expect(await actual(database)).toEqual(first)
  })

  test('a database that a newer program has brought further is left as it is', async () => {
    const { db } = await start()
    await syncDatabase(db)
    await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2030-01-01')`.execute(db)
    expect(await syncDatabase(db)).toEqual({ applied: [], version: '9999-later' })
    expect(await databaseVersion(db)).toBe('9999-later')
  })

  test('several may do it at the same moment, through links of their own', async () => {
    const { db, url } = await start()
    const others = await Promise.all([1, 2].map(() => openDatabase(url, { log: db.log, clock: db.clock })))
    const results = await Promise.all([db, ...others].map((db) => syncDatabase(db)))
    await Promise.all(others.map((db) => db.destroy()))
    expect(results.flatMap(({ applied }) => applied)).toEqual(Object.keys(migrations))
    expect(results.map(({ version }) => version)).toEqual([1, 2, 3].map(() => newestVersion()))
  })
})

describe.each((await databases()).filter(({ name }) => name === 'mysql'))(
  'where locks do not reach, on $name',
  (mysql) => {
    test('several processes migrate the tables once, and all find them migrated', async () => {
      // As between two nodes of a Galera cluster: each has its own locks.
      const lock = vi.spyOn(MysqlAdapter.prototype, 'acquireMigrationLock').mockResolvedValue()
      onTestFinished(() => lock.mockRestore())
      const database = await mysql.open()
      open.push(database)
      const { db, url } = database
      const other = await openDatabase(url, { log: db.log, clock: db.clock })
      onTestFinished(() => other.destroy())
      const results = await Promise.all([db, other].map((each) => syncDatabase(each)))
      expect(lock).toHaveBeenCalledTimes(2)
      expect(results.map(({ version }) => version)).toEqual([newestVersion(), newestVersion()])
      expect(results.flatMap(({ applied }) => applied).toSorted()).toEqual(Object.keys(migrations))
      expect(await actual(database)).toEqual(declared())
    })
  },
)
