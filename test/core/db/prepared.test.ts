import { sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Db, withSetting } from '../../../src/core/db/handle.ts'
import { insertRows } from '../../../src/core/db/insert.ts'
import { prepared } from '../../../src/core/db/prepared.ts'
import { databases } from '../../kit/databases.ts'
import { Rig, rigsOf } from '../conductor/rig.ts'

describe.each(await databases())('a prepared query on $name', (database) => {
  const rig = rigsOf(database)
  const start = async (): Promise<Db> => (await rig()).db

  test('is built once, and filled in with the values of each question', async () => {
    const db = await start()
    let built = 0
    const named = prepared((db: Db, { name, diskGb }: { name: string; diskGb: number }) => {
      built++
      return db.selectFrom('flavors').select('name').where('name', '=', name).where('disk_gb', '>=', diskGb)
    })
    expect((await named(db, { name: 'm1.tiny', diskGb: 0 })).rows).toEqual([{ name: 'm1.tiny' }])
    expect((await named(db, { name: 'm1.tiny', diskGb: 10_000 })).rows).toEqual([])
    expect((await named(db, { name: "m1'.tiny", diskGb: 0 })).rows).toEqual([])
    expect((await named(db, { name: 'm1.small', diskGb: 0 })).rows).toEqual([{ name: 'm1.small' }])
    expect(built).toBe(1)
  })

  test('changes rows inside a transaction, and says how many; values in raw SQL and null are filled in, too', async () => {
    const db = await start()
    const rename = prepared(
      (db: Db, { name, suffix, diskGb }: { name: string; suffix: string; diskGb: number | null }) =>
        db
          .updateTable('flavors')
          .set({ name: sql<string>`concat(name, ${suffix})` })
          .where('name', '=', name)
          .where(sql<boolean>`disk_gb > coalesce(${diskGb}, -1)`),
    )
    const undone = db.transaction().execute(async (bare) => {
      expect(
        (await rename(withSetting(bare, db), { name: 'm1.tiny', suffix: '-2', diskGb: null })).numAffectedRows,
      ).toBe(1n)
      throw new Error('taken back')
    })
    await expect(undone).rejects.toThrow('taken back')
    expect((await rename(db, { name: 'm1.tiny', suffix: '-3', diskGb: null })).numAffectedRows).toBe(1n)
    expect((await rename(db, { name: 'm1.tiny', suffix: '-4', diskGb: null })).numAffectedRows).toBe(0n)
    expect(await db.selectFrom('flavors').select('name').where('name', 'like', 'm1.tiny%').execute()).toEqual([
      { name: 'm1.tiny-3' },
    ])
  })

  test('is another one if a value is left out', async () => {
    const db = await start()
    const change = prepared((db: Db, { name, ...set }: { name: string; vcpus?: number; memory_mb?: number }) =>
      db.updateTable('flavors').set(set).where('name', '=', name),
    )
    await change(db, { name: 'm1.tiny', vcpus: 3 })
    await change(db, { name: 'm1.tiny', memory_mb: 7 })
    await change(db, { name: 'm1.small', vcpus: 5, memory_mb: 9 })
    const { rows } = await prepared((db: Db, _: Record<never, never>) =>
      db
        .selectFrom('flavors')
        .select(['vcpus', 'memory_mb'])
        .where('name', 'in', ['m1.tiny', 'm1.small'])
        .orderBy('vcpus'),
    )(db, {})
    expect(rows).toEqual([
      { vcpus: 3, memory_mb: 7 },
      { vcpus: 5, memory_mb: 9 },
    ])
  })

  test('keeps numbers whole: times in milliseconds, sums and negative ones', async () => {
    const db = await start()
    const now = 1_795_711_689_192
    await insertRows(db, 'leases', [{ name: 'a', holder: 'x', until: now }])
    const later = prepared((db: Db, { by, after }: { by: number; after: number }) =>
      db
        .updateTable('leases')
        .set(({ eb }) => ({ until: eb('until', '+', by) }))
        .where('until', '>', after),
    )
    expect((await later(db, { by: -7, after: now })).numAffectedRows).toBe(0n)
    expect((await later(db, { by: -7, after: now - 1 })).numAffectedRows).toBe(1n)
    expect(await db.selectFrom('leases').selectAll().execute()).toEqual([{ name: 'a', holder: 'x', until: now - 7 }])
  })

  test('is another one in each dialect', async () => {
    const db = await start()
    const now = prepared((db: Db, _: Record<never, never>) =>
      db.selectFrom('flavors').select('name').orderBy('name').limit(sql.lit(1)),
    )
    const other = (await databases()).find(({ name }) => name !== database.name)
    const [first] = (await now(db, {})).rows
    expect(first).toEqual({ name: 'm1.small' })
    if (!other) return
    const elsewhere = await Rig.open(other)
    onTestFinished(() => elsewhere.close())
    expect((await now(elsewhere.db, {})).rows).toEqual([first])
  })
})
