import { sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Db } from '../../../src/core/db/handle.ts'
import { prepared } from '../../../src/core/db/prepared.ts'
import { databases } from '../../kit/databases.ts'
import { Rig, rigsOf } from '../conductor/rig.ts'

describe.each(await databases())('a prepared query on $name', (database) => {
  const rig = rigsOf(database)
  const start = async (): Promise<Db> => (await rig()).db

  test('is built once, and filled in with the values of each question', async () => {
    const db = await start()
    let built = 0
    const named = prepared((db: Db, name: string, diskGb: number) => {
      built++
      return db.selectFrom('flavors').select('name').where('name', '=', name).where('disk_gb', '>=', diskGb)
    })
    expect((await named(db, 'm1.tiny', 0)).rows).toEqual([{ name: 'm1.tiny' }])
    expect((await named(db, 'm1.tiny', 10_000)).rows).toEqual([])
    expect((await named(db, "m1'.tiny", 0)).rows).toEqual([])
    expect((await named(db, 'm1.small', 0)).rows).toEqual([{ name: 'm1.small' }])
    expect(built).toBe(1)
  })

  test('changes rows inside a transaction, and says how many; values in raw SQL and null are filled in, too', async () => {
    const db = await start()
    const rename = prepared((db: Db, name: string, suffix: string, diskGb: number | null) =>
      db
        .updateTable('flavors')
        .set({ name: sql<string>`concat(name, ${suffix})` })
        .where('name', '=', name)
        .where('disk_gb', 'is not', diskGb),
    )
    const undone = db.transaction().execute(async (bare) => {
      expect((await rename(Object.assign(bare, { ...db }) as Db, 'm1.tiny', '-2', null)).numAffectedRows).toBe(1n)
      throw new Error('taken back')
    })
    await expect(undone).rejects.toThrow('taken back')
    expect((await rename(db, 'm1.tiny', '-3', null)).numAffectedRows).toBe(1n)
    expect((await rename(db, 'm1.tiny', '-4', null)).numAffectedRows).toBe(0n)
    expect(await db.selectFrom('flavors').select('name').where('name', 'like', 'm1.tiny%').execute()).toEqual([
      { name: 'm1.tiny-3' },
    ])
  })

  test('is another one in each dialect', async () => {
    const db = await start()
    const now = prepared((db: Db) => db.selectFrom('flavors').select('name').orderBy('name').limit(1))
    const other = (await databases()).find(({ name }) => name !== database.name)
    const [first] = (await now(db)).rows
    expect(first).toEqual({ name: 'm1.small' })
    if (!other) return
    const elsewhere = await Rig.open(other)
    onTestFinished(() => elsewhere.close())
    expect((await now(elsewhere.db)).rows).toEqual([first])
  })
})
