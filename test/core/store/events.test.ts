import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { tx } from '../../../src/core/db/tx.ts'
import { addEvents, type EventDraft, listEvents, pruneEvents } from '../../../src/core/store/events.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'

const all = await databases()

describe.each(all)('events on $name', (database) => {
  let opened: TestDatabase
  beforeEach(async () => {
    opened = await migrated(database)
  })
  afterEach(() => opened.drop())

  const some = (count: number, draft: Partial<EventDraft>): EventDraft[] =>
    Array.from({ length: count }, (_, i) => ({
      at: i,
      type: 'instance.rename',
      requestId: 'req-1',
      projectId: 'p1',
      message: `${i}`,
      ...draft,
    }))
  const kept = async (ofHosts: boolean, projectId: string) =>
    (await listEvents(opened.db, { limit: 10_000, ofHosts, projectId })).map(
      ({ type, message }) => `${type} ${message}`,
    )

  test('one project that makes many loses its own oldest, and no other loses any', async () => {
    const { db } = opened
    await addEvents(db, some(10, { projectId: 'quiet' }))
    await addEvents(db, some(5, { type: 'audit.refused', projectId: 'service', host: 'h1' }))
    await addEvents(db, some(5, { type: 'host.down', projectId: 'loud', host: 'h1' }))
    await addEvents(db, some(1_200, { projectId: 'loud' }))
    expect(await pruneEvents(db, 100, 50)).toBe(1_120)
    expect(await kept(true, 'quiet')).toEqual(some(10, {}).map(({ type, message }) => `${type} ${message}`))
    expect(await kept(true, 'service')).toHaveLength(5)
    const loud = await kept(true, 'loud')
    expect(loud.slice(0, 5)).toEqual(Array.from({ length: 5 }, (_, i) => `host.down ${i}`))
    expect(loud.slice(5)).toEqual(Array.from({ length: 80 }, (_, i) => `instance.rename ${1_120 + i}`))
    expect(await pruneEvents(db, 100, 50)).toBe(0)
  })

  test('where all have many, each keeps the same number', async () => {
    const { db } = opened
    for (const projectId of ['a', 'b', 'c']) await addEvents(db, some(40, { projectId }))
    await pruneEvents(db, 60, 7)
    for (const projectId of ['a', 'b', 'c']) expect(await kept(true, projectId)).toHaveLength(20)
  })
})

describe.each(all.filter(({ name }) => name === 'mysql'))(
  'events on a server that leaves out ids, on $name',
  (mysql) => {
    test.each([
      [3, 2],
      [10, 10],
    ])('of which it gives every %ith, get the numbers of their rows', async (step, offset) => {
      const { db, drop } = await migrated(mysql)
      try {
        const events = await tx(db, async (db) => {
          await sql`set session auto_increment_increment = ${step}, session auto_increment_offset = ${offset}`.execute(
            db,
          )
          const draft = { at: 1, type: 'instance.rename', requestId: 'req-1', projectId: 'p1' } as const
          const one = await addEvents(db, [draft])
          const three = await addEvents(
            db,
            ['a', 'b', 'c'].map((message) => ({ ...draft, message })),
          )
          return [...one, ...three]
        })
        expect(events.map(({ id }) => id)).toEqual([0, 1, 2, 3].map((n) => offset + n * step))
        expect(await listEvents(db, { limit: 10, ofHosts: true })).toEqual(events)
      } finally {
        await drop()
      }
    })
  },
)
