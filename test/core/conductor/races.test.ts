import { sql } from 'kysely'
import { afterEach, describe, expect, test } from 'vitest'
import type { ConductorOptions } from '../../../src/core/conductor/deps.ts'
import { tx } from '../../../src/core/db/tx.ts'
import { takeLeg } from '../../../src/core/store/held-legs.ts'
import { lockInstance } from '../../../src/core/store/instances.ts'
import { jobOf } from '../../../src/core/store/work.ts'
import { databases } from '../../kit/databases.ts'
import { admin, Rig } from './rig.ts'

const open: Rig[] = []
afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close()
})

/** Resolves when so many transactions wait for a lock that another one holds. */
async function untilWaiting({ db, clock }: Rig, count: number): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ n: number }>`
      select count(*) as n from information_schema.innodb_trx t
      join information_schema.processlist p on p.id = t.trx_mysql_thread_id
      where p.db = database() and t.trx_state = 'LOCK WAIT'`.execute(db)
    if (Number(rows[0]?.n) === count) return
    // The server looks anew only where nobody has asked for a tenth of a second.
    await clock.sleep(150)
  }
}

/** What happens where two things come at the same moment, or one comes late. */
describe.each(await databases())('on $name', (database) => {
  const start = async (but: Partial<ConductorOptions> = {}) => {
    const rig = await Rig.open(database, but)
    open.push(rig)
    return rig
  }

  test('a host that looked at a boot before it was placed elsewhere cannot take it', async () => {
    const rig = await start()
    await rig.host('h1')
    await rig.host('h2')
    const { operation } = await rig.boot()
    const key = { operation, service: 'compute', host: 'h1' } as const
    const job = await jobOf(rig.db, key)
    expect(job?.leg).toMatchObject({ state: 'queued', host: 'h1', role: 'host' })

    const now = rig.clock.now()
    expect(await rig.unplace(operation, 'h1')).toBe(true)
    const step = { name: 'image', at: now, attempt: 1, host: 'h1' }
    const take = { incarnation: 'h1-life', leaseUntil: now + 1000, attempt: 1, step, isNew: true }
    expect(await takeLeg(rig.db, key, job!.leg!, take)).toBe(false)

    const size = { vcpus: 1, memoryMb: 512, diskGb: 1 }
    const limits = { vcpus: 9, memoryMb: 9999, diskGb: 9 }
    expect(await rig.claimRoom(operation, 'h2', { size, limits })).toBe('placed')
    expect(await takeLeg(rig.db, key, job!.leg!, take)).toBe(false)
  })

  test('a hello that comes late, of a life that is over, does not shut the living one out', async () => {
    const rig = await start()
    const late = await rig.host('h1', { life: 'old' })
    const living = await rig.host('h1', { life: 'new' })
    // Two conductors, or one with many slots, carry out two hellos in any order.
    await rig.host('h1', { life: 'old' })
    const beat = () => rig.agent.heartbeat(admin, { ...living.self, operations: [] })
    expect(await beat()).toMatchObject({ lost: [] })
    expect(late.name).toBe(living.name)
    rig.clock.advance(31)
    await expect(beat()).rejects.toMatchObject({ code: 'HostNotFound' })
    await rig.host('h1', { life: 'new' })
    await expect(beat()).resolves.toMatchObject({ lost: [] })
    const { operation } = await rig.boot()
    await expect(living.claim(operation)).resolves.toBeDefined()
  })

  test('one idempotency key twice at the same moment is one operation', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const id = await rig.running(h1)
    for (const [i, kind] of (['pause', 'delete'] as const).entries()) {
      const request = { instance: 'web', kind, idempotencyKey: `k${i}` }
      const begin = () => rig.conductor.begin(admin, request)
      // Whoever comes meanwhile has looked at all that it looks at before it waits for the instance.
      const both = await tx(rig.db, async (db) => {
        await lockInstance(db, id)
        const both = Promise.all([begin(), begin()])
        both.catch(() => undefined)
        if (db.dialect === 'mysql') await untilWaiting(rig, 2)
        return { both }
      })
      const begun = await both.both
      expect(new Set(begun.map(({ operation }) => operation)).size).toBe(1)
      expect(rig.take('h1')).toEqual([begun[0]?.operation])
      await h1.carryOut(begun[0]?.operation as string)
    }
  })

  test('one idempotency key twice at the same moment is one boot, even where the quota has room for no more', async () => {
    const rig = await start({ quota: { instances: 1, cores: -1, memoryMb: -1, imageSizeTotal: -1 } })
    await rig.host('h1')
    const begun = await Promise.all([1, 2, 3].map(() => rig.boot('web', { idempotencyKey: 'k' })))
    expect(new Set(begun.map(({ operation }) => operation)).size).toBe(1)
  })

  test('a host is said to be up once for each of its lives, and again after it was down', async () => {
    const rig = await start()
    const ups = async () => (await rig.events()).filter((type) => type === 'host.up').length
    await rig.host('h1')
    await rig.host('h1')
    expect(await ups()).toBe(1)
    rig.clock.advance(60)
    await rig.host('h1')
    expect(await ups()).toBe(2)
    await rig.host('h1', { life: 'another' })
    expect(await ups()).toBe(3)
  })
})
