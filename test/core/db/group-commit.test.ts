import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { Db } from '../../../src/core/db/handle.ts'
import { syncDatabase } from '../../../src/core/db/migrate.ts'
import { openDatabase } from '../../../src/core/db/open.ts'
import { tx } from '../../../src/core/db/tx.ts'

describe('transactions that share a commit', () => {
  let dir: string
  let db: Db
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nova-group-'))
    db = await openDatabase(`sqlite:${join(dir, 'nova.sqlite')}`, { log: silentLog, clock: systemClock })
    await syncDatabase(db)
  })
  afterEach(async () => {
    await db.destroy()
    rmSync(dir, { recursive: true })
  })

  const insert = (db: Db, id: string) => db.insertInto('projects').values({ id, created_at: 0 }).execute()
  const there = async () => (await db.selectFrom('projects').select('id').orderBy('id').execute()).map(({ id }) => id)
  const states = (all: ReadonlyArray<PromiseSettledResult<unknown>>) => all.map(({ status }) => status)

  test('fail alone: one that is rolled back, the first too, takes no other along', async () => {
    const failing = (id: string) =>
      tx(db, async (db) => {
        await insert(db, id)
        throw new Error('no')
      })
    const ended = await Promise.allSettled([
      failing('a'),
      tx(db, (db) => insert(db, 'b')),
      failing('c'),
      insert(db, 'd'),
      insert(db, 'b'),
      tx(db, (db) => insert(db, 'e')),
      failing('f'),
    ])
    expect(states(ended)).toEqual([
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ])
    expect(await there()).toEqual(['b', 'd', 'e'])
  })

  test('are told of a full disk if it took them along, and only what was told is there', async () => {
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db)
    await sql.raw(`pragma max_page_count = ${rows[0]!.page_count + 2}`).execute(db)
    const ids = Array.from({ length: 200 }, (_, i) => `${i}`.padStart(3, '0').padEnd(200, 'x'))
    const ended = await Promise.allSettled(
      ids.map((id, i) => (i % 2 ? insert(db, id) : tx(db, (db) => insert(db, id)))),
    )
    const refused = ended.filter((end) => end.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused)
      expect(reason).toMatchObject({ code: 'DatabaseDown', message: expect.stringContaining('full') })
    expect(await there()).toEqual(ids.filter((_, i) => ended[i]?.status === 'fulfilled'))
    await sql`pragma max_page_count = 1000000`.execute(db)
    await insert(db, 'later')
    expect(await there()).toContain('later')
  })

  test('are not read by others before all of them are durable', async () => {
    const order: string[] = []
    let written = false
    await Promise.all([
      tx(db, (db) => insert(db, 'a')).then(() => {
        written = true
        order.push('written')
      }),
      there().then((ids) => order.push(written ? `read ${ids}` : 'read too early')),
      tx(db, (db) => insert(db, 'b')).then(() => order.push('written too')),
    ])
    expect(order.sort()).toEqual(['read a', 'written', 'written too'])
  })
})
