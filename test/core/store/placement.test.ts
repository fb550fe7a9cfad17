import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hostsForPlacement } from '../../../src/core/store/placement.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'

describe.each(await databases())('hosts for placement on $name', (database) => {
  let opened: TestDatabase
  beforeEach(async () => {
    opened = await migrated(database)
  })
  afterEach(() => opened.drop())

  const names = Array.from({ length: 50 }, (_, i) => `h${String(i).padStart(2, '0')}`)
  const host = (name: string) => ({
    ...{ name, host_id: name, incarnation: 'life', availability_zone: 'nova', driver: 'fake', accelerator: 'fake' },
    ...{ hypervisor: 'fake', hypervisor_version: '1', total_vcpus: 8, total_memory_mb: 1000, total_disk_gb: 10 },
    ...{ used_vcpus: 1, used_memory_mb: 100, used_disk_gb: 2, instances: 1, failed_at: null, created_at: 1 },
  })
  const service = (name: string) => ({
    ...{ id: `compute@${name}`, binary: 'compute', host: name, version: '1', incarnation: 'life', started_at: 1 },
    ...{ seen_at: 5, disabled: 0, disabled_reason: null, reported_by: 'life', silent_ms: 7 },
    contracts: '{"compute":"2.1"}',
  })

  test('have their service with them, and what this life of it has said', async () => {
    const { db } = opened
    await db.insertInto('hosts').values(['c', 'b', 'a'].map(host)).execute()
    const earlier = { ...service('b'), reported_by: 'an earlier life' }
    await db
      .insertInto('services')
      .values([service('a'), earlier])
      .execute()
    const room = { total: { vcpus: 8, memoryMb: 1000, diskGb: 10 }, used: { vcpus: 1, memoryMb: 100, diskGb: 2 } }
    const known = { availabilityZone: 'nova', ...room, instances: 1, failedAt: undefined }
    const alive = { disabled: false, disabledReason: undefined, seenAt: 5 }
    expect(await hostsForPlacement(db)).toEqual([
      { name: 'a', ...known, service: { ...alive, silentMs: 7, speaks: '2.1' } },
      { name: 'b', ...known, service: { ...alive, silentMs: undefined, speaks: undefined } },
      { name: 'c', ...known, service: undefined },
    ])
  })

  test('are not compared with each service one by one', async () => {
    const { db } = opened
    await db.insertInto('hosts').values(names.map(host)).execute()
    await db.insertInto('services').values(names.map(service)).execute()
    const join = sql`select h.name, s.seen_at from hosts h left join services s on s.host = h.name and s.binary = 'compute'`
    const plan =
      await sql<object>`${sql.raw(database.name === 'mysql' ? 'explain' : 'explain query plan')} ${join}`.execute(db)
    const used = (plan.rows as Array<{ key?: string; detail?: string }>).map(({ key, detail }) => key ?? detail)
    expect(used).toContainEqual(expect.stringMatching(/^(SEARCH s USING .*)?services_by_host/))
  })
})
