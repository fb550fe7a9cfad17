import { afterEach, describe, expect, test } from 'vitest'
import type { ConductorOptions } from '../../../src/core/conductor/deps.ts'
import { sweep } from '../../../src/core/conductor/operations/sweep.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, Rig } from './rig.ts'

const open: Rig[] = []
afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close()
})
const quota = { instances: -1, cores: -1, memoryMb: -1, imageSizeTotal: -1 }

describe.each(await databases())('on $name', (database) => {
  const start = async (but: Partial<ConductorOptions> = {}) => {
    const rig = await Rig.open(database, but)
    open.push(rig)
    return rig
  }
  const rows = async (rig: Rig) => [
    (await rig.conductor.instanceList(admin, { allProjects: true })).instances.length,
    (await rig.conductor.operationList(admin, {})).operations.length,
  ]

  test('several at once are numbered, and come in one request', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    const { begun, image, flavor } = await rig.conductor.boot(admin, { name: 'web', count: 3 })
    expect(begun.map(({ instance }) => instance.name)).toEqual(['web-1', 'web-2', 'web-3'])
    expect([image, flavor]).toEqual(['tiny', 'm1.tiny'])
    expect(rig.take('scheduler')).toEqual(begun.map(({ operation }) => operation))
    expect((await rig.events()).length).toBe(3)
  })

  test('names that instances of the project have already are told to those who ask', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    await rig.conductor.boot(member('red'), { name: 'web', count: 2 })
    const again = { name: 'web', count: 3, findAlike: true }
    expect((await rig.conductor.boot(member('blue'), again)).alike).toEqual([])
    expect((await rig.conductor.boot(member('red'), again)).alike).toEqual(['web-1', 'web-2'])
    expect(await rig.conductor.boot(member('red'), { name: 'web-1' })).not.toHaveProperty('alike')
  })

  test('a thousand at once', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    const { begun } = await rig.conductor.boot(admin, { name: 'web', count: 1000 })
    expect(begun).toHaveLength(1000)
    expect(rig.take('scheduler')).toHaveLength(1000)
  })

  test('many with as much user data as is allowed are begun: more than a server takes in one packet', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    const userData = 'A'.repeat(65_532)
    const { begun } = await rig.conductor.boot(admin, { name: 'bulk', count: 300, userData })
    expect(begun).toHaveLength(300)
    const rows = await rig.db.selectFrom('instances').select('user_data').where('user_data', '=', userData).execute()
    expect(rows).toHaveLength(300)
  })

  test('everything that was wished for reaches the host and the scheduler', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    await rig.boot('db1')
    const other = (await rig.show('db1')).id
    const { operation } = await rig.boot('web', {
      metadata: { role: 'web' },
      hints: { different_host: ` db1,${other}`, group: 'front' },
      userData: Buffer.from('#!/bin/sh').toString('base64'),
      key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here',
      description: 'the first one',
      availabilityZone: 'nova:h1',
    })
    expect(await h1.claim(operation)).toMatchObject({
      instance: {
        metadata: { role: 'web' },
        userData: 'IyEvYmluL3No',
        key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here',
      },
    })
    expect(await rig.show('web')).toMatchObject({
      description: 'the first one',
      availabilityZone: 'nova',
      hints: { different_host: `${other},${other}`, group: 'front' },
      hasUserData: true,
    })
    const crowd = { different_host: Array(7).fill('db1').join(',') }
    await expect(rig.conductor.boot(admin, { name: 'x', hints: crowd })).rejects.toThrow('more than six instances')
    const { decision } = await rig.conductor.bootDryRun(admin, { name: 'x', availabilityZone: ':h1' })
    expect(JSON.parse(decision.summary)).toMatchObject({ forcedHost: 'h1', size: { memoryMb: 512 }, excluded: [] })
  })

  test('a dry run with a quota counts and writes nothing', async () => {
    const rig = await Rig.open(database, { quota: { instances: 1, cores: -1, memoryMb: -1, imageSizeTotal: -1 } })
    open.push(rig)
    await rig.host('h1')
    const asked = { name: 'web', image: 'tiny', flavor: 'm1.tiny' }
    const projects = () => rig.db.selectFrom('projects').selectAll().execute()
    expect(await rig.conductor.bootDryRun(member('p9'), asked)).toMatchObject({ flavor: 'm1.tiny' })
    await expect(rig.conductor.bootDryRun(member('p9'), { ...asked, count: 2 })).rejects.toMatchObject({
      code: 'QuotaExceeded',
    })
    expect(await projects()).toEqual([])
    await rig.conductor.boot(member('p9'), asked)
    expect(await projects()).toMatchObject([{ id: 'p9' }])
  })

  test('the smallest flavor that --flavor would take is taken, one with no disk too', async () => {
    const rig = await start()
    await rig.host('h1')
    const own = { name: 'm1.diskless', vcpus: 1, memoryMb: 64, diskGb: 0 }
    await rig.conductor.flavorCreate(admin, { ...own, name: 'm1.small-memory', memoryMb: 32 })
    await rig.conductor.flavorCreate(admin, own)
    // The image wants 64 MiB and 1 GiB.
    expect(await rig.conductor.boot(admin, { name: 'web' })).toMatchObject({ flavor: 'm1.diskless' })
  })

  const wrong: Array<[string, Record<string, unknown>, object]> = [
    ['an unknown image', { image: 'tinny' }, { code: 'ImageNotFound', hint: 'Did you mean "tiny"?' }],
    ['an unknown flavor', { flavor: 'm1.tny' }, { code: 'FlavorNotFound', hint: 'Did you mean "m1.tiny"?' }],
    ['an unknown host', { availabilityZone: ':h2' }, { code: 'HostNotFound', hint: 'Did you mean "h1"?' }],
    ['a hint that names no instance', { hints: { same_host: 'db1' } }, { code: 'InstanceNotFound' }],
    ['no host behind the colon', { availabilityZone: 'nova:' }, { code: 'InvalidRequest' }],
    ['user data that is not base64', { userData: 'hello!' }, { code: 'InvalidRequest' }],
    [
      'more user data than one request may write',
      {
        userData: 'QUJD'.repeat(16_383),
        metadata: {
          a: 'b'.repeat(255),
          c: 'd'.repeat(255),
          e: 'f'.repeat(255),
          g: 'h'.repeat(255),
          i: 'j'.repeat(255),
          k: 'l'.repeat(255),
          m: 'n'.repeat(255),
        },
        count: 1000,
      },
      { code: 'InvalidRequest', hint: 'Boot at most 996 of them at a time.' },
    ],
    ['a key that is none', { key: 'my key' }, { code: 'InvalidRequest' }],
    ['a name too long for its numbers', { name: 'x'.repeat(254), count: 10 }, { code: 'InvalidRequest' }],
    [
      'a flavor that is too small',
      { image: 'big' },
      { code: 'FlavorTooSmall', params: { what: 'memory', needs: 1024 } },
    ],
    ['an image that is not there yet', { image: 'coming' }, { code: 'ImageNotActive' }],
    ['no image where there are several', { image: '' }, { code: 'InvalidRequest' }],
  ]
  test.each(wrong)('%s is refused, and nothing is written', async (_what, request, refusal) => {
    const rig = await start()
    await rig.host('h1')
    const images = await rig.db.selectFrom('images').selectAll().execute()
    for (const image of [
      { name: 'big', min_memory_mb: 1024, id: '1' },
      { name: 'coming', status: 'saving', id: '2' },
    ])
      await rig.db
        .insertInto('images')
        .values({ ...images[0]!, ...image })
        .execute()
    // Where the wish names no image, none is called tiny either.
    const { image = '', ...rest } = { image: 'tiny', ...request }
    if (image === '')
      await rig.db.updateTable('images').set({ name: 'small', status: 'active' }).where('id', '=', '2').execute()
    if (image === '') await rig.db.updateTable('images').set({ name: 'medium' }).where('name', '=', 'tiny').execute()
    const before = await rows(rig)
    const asked = { name: 'web', flavor: 'm1.tiny', ...rest, ...(image === '' ? {} : { image: String(image) }) }
    const failure = await rig.conductor.boot(admin, asked).catch((e) => e)
    expect({ code: failure.code, hint: failure.hint, params: failure.params }).toMatchObject(refusal)
    expect(await rows(rig)).toEqual(before)
    expect(rig.sent).toEqual([])
  })

  test('only administrators choose the host', async () => {
    const rig = await start()
    await rig.host('h1')
    await expect(rig.boot('web', { availabilityZone: ':h1' }, member('p1'))).rejects.toMatchObject({
      code: 'Forbidden',
    })
  })

  test('of twenty at the same moment exactly as many are let in as the quota has room for', async () => {
    const rig = await start({ quota: { ...quota, cores: 7 } })
    const all = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => rig.boot(`web${i}`)))
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(7)
    expect(all.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'QuotaExceeded', params: { resource: 'cores', limit: 7, used: 7, wanted: 1, project: 'p1' } },
    })
    expect(await rows(rig)).toEqual([7, 7])
    await rig.boot('other', {}, member('p2'))
  })

  test('what exceeds the quota is refused as a whole', async () => {
    const rig = await start({ quota: { ...quota, memoryMb: 1024 } })
    await expect(rig.boot('web', { count: 3 })).rejects.toMatchObject({ params: { resource: 'ram', wanted: 1536 } })
    await expect(rig.conductor.bootDryRun(admin, { name: 'web', count: 3 })).rejects.toMatchObject({
      code: 'QuotaExceeded',
    })
    expect(await rows(rig)).toEqual([0, 0])
  })

  describe('an idempotency key', () => {
    test('gives the first answer again for a day', async () => {
      const rig = await start()
      const request = { name: 'web', count: 12, idempotencyKey: 'k' }
      const first = await rig.conductor.boot(admin, request)
      expect(await rig.conductor.boot(admin, { ...request, count: 2 })).toEqual(first)
      expect((await rows(rig))[0]).toBe(12)
      expect((await rig.conductor.boot(member('p2'), request)).begun[0]).not.toEqual(first.begun[0])
      rig.clock.advance(86_401)
      expect((await rig.conductor.boot(admin, request)).begun[0]).not.toEqual(first.begun[0])
    })

    test('used by two at the same moment boots once', async () => {
      const rig = await start()
      const request = { name: 'web', count: 2, idempotencyKey: 'k' }
      const all = await Promise.all([1, 2, 3, 4].map(() => rig.conductor.boot(admin, request)))
      expect(new Set(all.map(({ begun }) => begun[0]?.operation)).size).toBe(1)
      expect((await rows(rig))[0]).toBe(2)
    })

    test('of a boot means no other request', async () => {
      const rig = await start()
      await rig.conductor.boot(admin, { name: 'web', idempotencyKey: 'k' })
      const other = { instance: 'web', kind: 'delete', idempotencyKey: 'k' } as const
      await expect(rig.conductor.begin(admin, other)).rejects.toMatchObject({ code: 'InvalidRequest' })
    })
  })

  describe('without a scheduler', () => {
    test('nothing is left behind, and the caller hears why within a second', async () => {
      const rig = await start()
      rig.listens.delete('scheduler')
      await rig.schedulerIsUp()
      const began = performance.now()
      await expect(rig.boot('web', { count: 5 })).rejects.toMatchObject({ code: 'HostUnreachable' })
      expect(performance.now() - began).toBeLessThan(1000)
      expect(await rows(rig)).toEqual([0, 0])
    })

    test('one that only reconnects is waited for', async () => {
      const rig = await start()
      rig.listens.delete('scheduler')
      await rig.schedulerIsUp()
      rig.clock.after(150, () => rig.listens.add('scheduler'))
      await rig.boot('web')
      expect(rig.take('scheduler')).toHaveLength(1)
    })

    test('a boot that was accepted waits until its deadline', async () => {
      const rig = await start()
      rig.placeAtOnce = false
      const { operation } = await rig.boot('web')
      rig.listens.delete('scheduler')
      rig.clock.advance(300)
      await sweep(rig.deps)
      expect(await rig.operation(operation)).toMatchObject({ state: 'queued' })
      rig.clock.advance(301)
      await sweep(rig.deps)
      expect(await rig.operation(operation)).toMatchObject({
        state: 'failed',
        fault: { code: 'DeadlinePassed', message: expect.stringContaining('no scheduler') },
      })
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR' })
    })
  })
})
