import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { acquireLease, releaseLease } from '../../../src/core/store/leases.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'

describe.each(await databases())('leases on $name', (database) => {
  let opened: TestDatabase
  beforeEach(async () => {
    opened = await migrated(database)
  })
  afterEach(() => opened.drop())

  const ten = Array.from({ length: 10 }, (_, i) => `conductor-${i}`)
  const acquire = (holder: string, now: number, until = now + 100) =>
    acquireLease(opened.db, 'upkeep', holder, until, now)
  /** All ten at once; those that got it. */
  const race = async (now: number): Promise<string[]> => {
    const got = await Promise.all(ten.map((holder) => acquire(holder, now)))
    return ten.filter((_, i) => got[i])
  }

  test('of ten at once one gets it, and another one when it has lapsed', async () => {
    const [first, ...others] = await race(1_000)
    expect([first, others]).toEqual([expect.any(String), []])
    expect(await race(1_099)).toEqual([first])
    const rivals = ten.filter((holder) => holder !== first)
    const lapsed = 1_099 + 100
    const got = await Promise.all(rivals.map((holder) => acquire(holder, lapsed)))
    expect(got.filter(Boolean)).toHaveLength(1)
    expect(await acquire(first!, lapsed)).toBe(false)
  })

  test('the holder renews it, also to the same end, and keeps the others away', async () => {
    expect(await acquire('a', 1_000)).toBe(true)
    expect(await acquire('a', 1_000)).toBe(true)
    expect(await acquire('a', 1_050)).toBe(true)
    expect(await acquire('b', 1_149)).toBe(false)
    expect(await acquire('b', 1_150)).toBe(true)
  })

  test('the holder gives it up, and nobody else can', async () => {
    await acquire('a', 1_000)
    await releaseLease(opened.db, 'upkeep', 'b')
    expect(await acquire('b', 1_001)).toBe(false)
    await releaseLease(opened.db, 'upkeep', 'a')
    expect(await acquire('b', 1_002)).toBe(true)
  })

  test('each name is a lease of its own', async () => {
    expect(await acquireLease(opened.db, 'upkeep', 'a', 2_000, 1_000)).toBe(true)
    expect(await acquireLease(opened.db, 'reports', 'b', 2_000, 1_000)).toBe(true)
  })
})
