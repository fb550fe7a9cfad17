import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { sql } from 'kysely'
import { PoolConnection } from 'mysql2'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { isUniqueViolation, serverVersion } from '../../../src/core/db/dialect.ts'
import type { Db } from '../../../src/core/db/handle.ts'
import { syncDatabase } from '../../../src/core/db/migrate.ts'
import { openDatabase } from '../../../src/core/db/open.ts'
import { prepared } from '../../../src/core/db/prepared.ts'
import { unlimited } from '../../../src/core/db/statement-limit.ts'
import { tx } from '../../../src/core/db/tx.ts'
import { admin, databases, type TestDatabase } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'
import { startProxy } from '../../kit/proxy.ts'

type Row = { id: string; created_at: number }
const setting = { log: silentLog, clock: systemClock }
const addProject = prepared((db, row: Row) => db.insertInto('projects').values(row))
const open: TestDatabase[] = []
afterEach(async () => {
  for (const database of open.splice(0)) await database.drop()
})

describe.each(await databases())('on $name', ({ name, open: fresh }) => {
  const start = async () => {
    const database = await fresh()
    open.push(database)
    await syncDatabase(database.db)
    return database
  }
  const flavor = (name: string) => ({ id: name, name, vcpus: 1, memory_mb: 1, disk_gb: 1, created_at: 2 ** 42 })

  test('big numbers come back as numbers, and names differ by case', async () => {
    const { db } = await start()
    await db
      .insertInto('flavors')
      .values([flavor('a'), flavor('A')])
      .execute()
    const rows = await db.selectFrom('flavors').selectAll().where('name', '=', 'A').execute()
    expect(rows.map((row) => ({ ...row }))).toEqual([flavor('A')])
    expect(await serverVersion(db)).toMatch(/^\d+\.\d+/)
  })

  test('a key that is taken is told apart from other errors', async () => {
    const { db } = await start()
    await db.insertInto('flavors').values(flavor('a')).execute()
    const twice = await db
      .insertInto('flavors')
      .values({ ...flavor('a'), id: 'b' })
      .execute()
      .catch((e) => e)
    const sameId = await db
      .insertInto('flavors')
      .values({ ...flavor('b'), id: 'a' })
      .execute()
      .catch((e) => e)
    const nonsense = await sql`select * from nowhere`.execute(db).catch((e) => e)
    expect([twice, sameId, nonsense].map(isUniqueViolation)).toEqual([true, true, false])
  })

  if (name === 'sqlite')
    test('a full disk is told as that, and changes nothing', async () => {
      const { db } = await start()
      const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db)
      await sql.raw(`pragma max_page_count = ${rows[0]!.page_count}`).execute(db)
      const tooMuch = (db: Db) =>
        db
          .insertInto('flavors')
          .values([flavor('a'), flavor('x'.repeat(100_000))])
          .execute()
      await expect(tx(db, tooMuch)).rejects.toMatchObject({
        code: 'DatabaseDown',
        message: expect.stringContaining('full'),
      })
      await sql`pragma max_page_count = 1000000`.execute(db)
      expect(await db.selectFrom('flavors').selectAll().execute()).toEqual([])
      await tx(db, tooMuch)
    })

  test('a transaction that throws leaves nothing, and one within another is a part of it', async () => {
    const { db } = await start()
    const failing = tx(db, async (db) => {
      await tx(db, (db) => db.insertInto('flavors').values(flavor('a')).execute())
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(await db.selectFrom('flavors').selectAll().execute()).toEqual([])
  })

  test('forty transactions that read, think and write add up', async () => {
    const { db } = await start()
    await db
      .insertInto('flavors')
      .values({ ...flavor('a'), vcpus: 0 })
      .execute()
    const { locked } = await import('../../../src/core/db/dialect.ts')
    await Promise.all(
      Array.from({ length: 40 }, () =>
        tx(db, async (db) => {
          const row = await locked(
            db,
            db.selectFrom('flavors').select('vcpus').where('id', '=', 'a'),
          ).executeTakeFirstOrThrow()
          await systemClock.sleep(1)
          await db
            .updateTable('flavors')
            .set({ vcpus: row.vcpus + 1 })
            .where('id', '=', 'a')
            .execute()
        }),
      ),
    )
    expect(await db.selectFrom('flavors').select('vcpus').executeTakeFirst()).toMatchObject({ vcpus: 40 })
  })

  test('transactions that lock in opposite orders both succeed', async () => {
    const { db } = await start()
    await db
      .insertInto('flavors')
      .values([flavor('a'), flavor('b')])
      .execute()
    const add = (first: string, second: string) =>
      tx(db, async (db) => {
        for (const id of [first, second]) {
          await db
            .updateTable('flavors')
            .set(({ eb }) => ({ vcpus: eb('vcpus', '+', 1) }))
            .where('id', '=', id)
            .execute()
          await systemClock.sleep(20)
        }
      })
    await Promise.all([add('a', 'b'), add('b', 'a'), add('a', 'b'), add('b', 'a')])
    const rows = await db.selectFrom('flavors').select('vcpus').execute()
    expect(rows.map(({ vcpus }) => vcpus)).toEqual([5, 5])
  })
})

describe.each((await databases()).filter(({ name }) => name === 'mysql'))(
  'when the server cuts the link, on $name',
  (mysql) => {
    const cut = async (db: TestDatabase['db']) => {
      const { rows } = await sql<{ id: number }>`select connection_id() as id`.execute(db)
      await admin(`kill ${rows[0]?.id}`)
    }

    test('an idle one is replaced, and one in use is told as DatabaseDown with nothing written', async () => {
      const database = await mysql.open()
      open.push(database)
      const { db } = database
      await syncDatabase(db)
      const project = (id: string) => ({ id, created_at: 0 })
      await cut(db)
      await tx(db, (db) => db.insertInto('projects').values(project('a')).execute())
      const failure = await tx(db, async (db) => {
        await db.insertInto('projects').values(project('b')).execute()
        await cut(db)
        await db.insertInto('projects').values(project('c')).execute()
      }).catch((e) => e)
      expect(failure).toMatchObject({ code: 'DatabaseDown' })
      const rows = await tx(db, (db) => db.selectFrom('projects').select('id').execute())
      expect(rows.map(({ id }) => id)).toEqual(['a'])
    })

    test.each([
      ['alone', (db: Db, row: Row) => db.insertInto('projects').values(row).execute()],
      ['in a transaction', (db: Db, row: Row) => tx(db, (db) => db.insertInto('projects').values(row).execute())],
    ])('one that has become read-only is told as DatabaseDown, and left for another (%s)', async (_how, write) => {
      const database = await mysql.open()
      open.push(database)
      const { db } = database
      await syncDatabase(db)
      // What a failover leaves behind, for one connection alone.
      await sql`set session transaction read only`.execute(db)
      await expect(write(db, { id: 'a', created_at: 0 })).rejects.toMatchObject({
        code: 'DatabaseDown',
        message: expect.stringMatching(/read.only/i),
      })
      await write(db, { id: 'b', created_at: 0 })
      expect(await db.selectFrom('projects').select('id').execute()).toEqual([{ id: 'b' }])
    })

    test('a limit of the login, a table that is gone and a login that is locked are told as DatabaseDown, with the reason', async () => {
      const database = await migrated(mysql)
      open.push(database)
      const { db } = database
      const url = new URL(database.url)
      const user = `u${systemIds.hex().slice(0, 12)}`
      const asRoot = (text: string) => sql.raw(text).execute(db)
      await asRoot(`create user ${user}@'%' identified by 'pw' with max_user_connections 1`)
      onTestFinished(() => admin(`drop user ${user}@'%'`).then(() => undefined))
      await asRoot(`grant all on ${url.pathname.slice(1)}.* to ${user}@'%'`)
      url.username = user
      url.password = 'pw'
      const limited = await openDatabase(url.href, { log: silentLog, clock: systemClock })
      onTestFinished(() => limited.destroy())
      const ask = () => limited.selectFrom('projects').select('id').execute()
      const refusal = (why: RegExp) => ({ code: 'DatabaseDown', message: expect.stringMatching(why) })
      const asked = await Promise.allSettled([ask(), ask(), ask()])
      const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
      expect(refused).toHaveLength(2)
      expect(refused[0]).toMatchObject(refusal(/max_user_connections/))
      await asRoot('rename table projects to projects_elsewhere')
      await expect(ask()).rejects.toMatchObject(refusal(/doesn't exist/))
      await asRoot('rename table projects_elsewhere to projects')
      expect(await ask()).toEqual([])
      await asRoot(`alter user ${user}@'%' account lock`)
      const links = sql<{ id: number }>`select id as id from information_schema.processlist where user = ${user}`
      for (const { id } of (await links.execute(db)).rows) await admin(`kill ${id}`)
      await expect.poll(() => ask().catch((e) => e.message)).toMatch(/account is locked/)
    })
  },
)

describe.each((await databases()).filter(({ name }) => name === 'mysql'))('each connection, on $name', (mysql) => {
  const setting = 'set session wsrep_sync_wait = 7'
  const waits = async (db: Db) =>
    (await sql<{ w: number }>`select @@session.wsrep_sync_wait as w`.execute(db)).rows[0]?.w

  test('waits for what other nodes of a Galera cluster have committed', async () => {
    const database = await migrated(mysql)
    open.push(database)
    expect(await waits(database.db)).toBe(7)
  })

  test('is of use where the server has no such setting', async () => {
    const database = await migrated(mysql)
    open.push(database)
    type Prototype = { query(text: string, ...rest: unknown[]): unknown }
    const prototype = PoolConnection.prototype as unknown as Prototype
    const run = prototype.query
    const unknown = vi.spyOn(prototype, 'query').mockImplementation(function (this: Prototype, text, ...rest) {
      return run.call(this, text === setting ? 'set session nova_has_no_such_setting = 7' : text, ...rest)
    })
    onTestFinished(() => unknown.mockRestore())
    const db = await openDatabase(database.url, { log: silentLog, clock: systemClock })
    onTestFinished(() => db.destroy())
    expect(await waits(db)).toBe(0)
  })
})

describe.each((await databases()).filter(({ name }) => name === 'mysql'))(
  'when others are in the way, on $name',
  (mysql) => {
    /** Runs `fn` on a server that answers with an error the first `times` times that a project is inserted; answers how often one was. */
    const troubled = async (errno: number, times: number, fn: (db: Db) => Promise<void>): Promise<number> => {
      const database = await migrated(mysql)
      open.push(database)
      const { db } = database
      await sql`create table tries (n int) engine = MyISAM`.execute(db)
      try {
        await sql
          .raw(`create trigger trouble before insert on projects for each row begin
          insert into tries values (1);
          if (select count(*) from tries) <= ${times} then
            signal sqlstate '45000' set mysql_errno = ${errno}, message_text = 'in the way';
          end if;
        end`)
          .execute(db)
        await fn(db)
        const { rows } = await sql<{ n: number }>`select count(*) as n from tries`.execute(db)
        return Number(rows[0]?.n)
      } finally {
        await sql`drop trigger trouble`.execute(db)
        await sql`drop table tries`.execute(db)
      }
    }
    const alone = (db: Db) => db.insertInto('projects').values({ id: 'a', created_at: 0 }).execute()
    const inTransaction = (db: Db) => tx(db, alone)

    test.each([
      ['deadlock', 1213, alone],
      ['wait for a lock', 1205, alone],
      ['deadlock in a transaction', 1213, inTransaction],
    ])('a %s is repeated', async (_what, errno, write) => {
      const tries = await troubled(errno, 3, async (db) => {
        await write(db)
        expect(await db.selectFrom('projects').select('id').execute()).toEqual([{ id: 'a' }])
      })
      expect(tries).toBe(4)
    })

    test.each([
      ['deadlock', 1213, alone, 20],
      ['deadlock in a transaction', 1213, inTransaction, 20],
      ['commit without a quorum', 1180, alone, 1],
      ['node that is not ready', 1047, alone, 1],
      ['killed connection', 1927, alone, 1],
    ])('a %s that does not end is told as DatabaseDown', async (_what, errno, write, times) => {
      const down = { code: 'DatabaseDown', message: expect.stringContaining('in the way') }
      const tries = await troubled(errno, 1000, (db) => expect(write(db)).rejects.toMatchObject(down))
      expect(tries).toBe(times)
    })
  },
)

describe.each((await databases()).filter(({ name }) => name === 'mysql'))(
  'when the server hangs, on $name',
  (mysql) => {
    /** The limit of a statement, 12 s, passes in 0.6 s. */
    const hasty = { ...systemClock, after: (ms: number, fn: () => void) => systemClock.after(ms / 20, fn) }
    const through = async () => {
      const database = await migrated(mysql)
      open.push(database)
      const url = new URL(database.url)
      const line = await startProxy({ host: url.hostname, port: Number(url.port) })
      url.port = `${line.port}`
      const db = await openDatabase(url.href, { log: silentLog, clock: hasty, poolSize: 1 })
      onTestFinished(async () => {
        await db.destroy().catch(() => undefined)
        await line.close()
      })
      return { db, line }
    }
    const row = (id: string): Row => ({ id, created_at: 0 })
    const insert = (db: Db, id: string) => db.insertInto('projects').values(row(id)).execute()
    const ids = async (db: Db) => (await db.selectFrom('projects').select('id').execute()).map(({ id }) => id)
    const down = { code: 'DatabaseDown', message: expect.stringContaining('no answer to a statement within 12 s') }

    test('a statement fails as DatabaseDown, and the next one goes over a new connection', async () => {
      const { db, line } = await through()
      line.freeze()
      await expect(insert(db, 'a')).rejects.toMatchObject(down)
      expect(await ids(db)).toEqual([])
      // A query that is prepared at the server hangs the same.
      line.freeze()
      await expect(addProject(db, row('p'))).rejects.toMatchObject(down)
      await addProject(db, row('p'))
      expect(await ids(db)).toEqual(['p'])
    })

    test('a transaction fails as DatabaseDown, with nothing written', async () => {
      const { db, line } = await through()
      const failing = tx(db, async (db) => {
        await insert(db, 'a')
        line.freeze()
        await insert(db, 'b')
      })
      await expect(failing).rejects.toMatchObject(down)
      // The server has not heard that the connection is gone.
      line.down()
      line.up()
      expect(await tx(db, ids)).toEqual([])
    })

    test('a migration may take any time', async () => {
      const { db } = await through()
      const { rows } = await unlimited(() => sql`select sleep(1) as slept`.execute(db))
      expect(rows).toEqual([{ slept: 0 }])
      await expect(sql`select sleep(1)`.execute(db)).rejects.toMatchObject(down)
    })
  },
)

describe('what cannot be opened', () => {
  const why = (url: string) => openDatabase(url, setting).catch((e) => e)

  test('says which', async () => {
    expect(await why('postgres://x:secret@y/z')).toMatchObject({
      code: 'ConfigInvalid',
      params: { value: 'postgres://x:***@y/z' },
    })
    expect(await why('sqlite:/dev/null/nova.sqlite')).toMatchObject({ code: 'DatabaseDown' })
    expect(await why('sqlite:nova.sqlite')).toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining('sqlite:/path/to/file'),
    })
    expect(await why('mysql://root@127.0.0.1:1/nova')).toMatchObject({
      code: 'DatabaseDown',
      params: { why: expect.stringContaining('127.0.0.1:1') },
    })
    // An IPv6 address is tried as one, without its brackets.
    expect(await why('mysql://root@[::1]:1/nova')).toMatchObject({
      code: 'DatabaseDown',
      params: { why: expect.stringMatching(/^\[::1\]:1: (?!.*ENOTFOUND)/) },
    })
    expect(await why('mysql://root:100%zz@127.0.0.1/nova')).toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining('write % as %25'),
    })
  })

  test('a file that is no database is not touched', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nova-db-'))
    const path = join(folder, 'diary.txt')
    writeFileSync(path, 'dear diary, '.repeat(1000))
    expect(await why(`sqlite:${path}`)).toMatchObject({ code: 'DatabaseDown' })
    rmSync(folder, { recursive: true })
  })
})

test('several processes share an SQLite file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nova-db-'))
  const url = `sqlite:${join(folder, 'nova.sqlite')}`
  const script = join(folder, 'add.mts')
  const src = resolve(import.meta.dirname, '../../../src/core')
  writeFileSync(
    script,
    `
    import { systemClock as clock } from '${src}/base/clock.ts'
    import { silentLog as log } from '${src}/base/log.ts'
    import { openDatabase } from '${src}/db/open.ts'
    import { syncDatabase } from '${src}/db/migrate.ts'
    import { tx } from '${src}/db/tx.ts'
    const db = await openDatabase('${url}', { log, clock })
    await syncDatabase(db)
    await db.insertInto('projects').values({ id: 'p', created_at: 0 }).execute().catch(() => undefined)
    for (let i = 0; i < 100; i++)
      await tx(db, async (db) => {
        const { created_at } = await db.selectFrom('projects').select('created_at').executeTakeFirstOrThrow()
        await clock.sleep(0)
        await db.updateTable('projects').set({ created_at: created_at + 1 }).execute()
      })
    await db.destroy()
    `,
  )
  const runs = [1, 2, 3].map(async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['ignore', 'inherit', 'inherit'] })
    const [code] = await once(child, 'exit')
    return code
  })
  expect(await Promise.all(runs)).toEqual([0, 0, 0])
  const db = await openDatabase(url, setting)
  expect(await db.selectFrom('projects').select('created_at').executeTakeFirst()).toMatchObject({ created_at: 300 })
  await db.destroy()
  rmSync(folder, { recursive: true })
})
