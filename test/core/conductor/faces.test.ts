import { describe, expect, test } from 'vitest'
import { ensureDefaults } from '../../../src/core/conductor/defaults.ts'
import { conductorManager } from '../../../src/core/conductor/manager.ts'
import { startPeriodic, upkeep } from '../../../src/core/conductor/periodic.ts'
import { newestVersion, syncDatabase } from '../../../src/core/db/migrate.ts'
import { healthOf } from '../../../src/core/model/health.ts'
import { addEvents } from '../../../src/core/store/events.ts'
import { listFlavors } from '../../../src/core/store/flavors.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, options, rigsOf, selfOf } from './rig.ts'

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)

  describe('names', () => {
    test('are looked up in the own project, then, for administrators, in all', async () => {
      const rig = await start()
      await rig.host('h1')
      const own = await rig.boot('web')
      const theirs = await rig.boot('web', {}, member('p2'))
      await rig.boot('mail', {}, member('p2'))
      const idOf = async (ref: string, ctx = admin) => (await rig.conductor.instanceShow(ctx, { instance: ref })).id
      expect(await idOf('web')).toBe(own.instance.id)
      expect(await idOf(theirs.instance.id)).toBe(theirs.instance.id)
      expect(await idOf('web', member('p2'))).toBe(theirs.instance.id)
      expect((await rig.show('mail')).projectId).toBe('p2')
      for (const ref of ['mail', theirs.instance.id])
        await expect(idOf(ref, member('p1'))).rejects.toMatchObject({ code: 'InstanceNotFound' })
    })

    test('that are there twice must be said by id; an id that is also a name means the id', async () => {
      const rig = await start()
      await rig.host('h1')
      const first = await rig.boot('web')
      const second = await rig.boot('web')
      await expect(rig.show('web')).rejects.toMatchObject({
        code: 'AmbiguousName',
        params: { ids: [first.instance.id, second.instance.id].sort() },
      })
      await rig.boot(first.instance.id)
      expect(await rig.show(first.instance.id)).toMatchObject({ name: 'web' })
    })

    test('may be the beginning of an id, if only one begins so and nothing has that name', async () => {
      const rig = await start()
      await rig.host('h1')
      const { instance, operation } = await rig.boot('web', {}, member('p1'))
      const begins = instance.id.slice(0, 8)
      expect((await rig.show(begins)).id).toBe(instance.id)
      expect((await rig.show(instance.id.slice(0, 20).toUpperCase())).id).toBe(instance.id)
      for (const ref of [instance.id.slice(0, 7), `${begins}%`, 'ffffffff-ffff'])
        await expect(rig.show(ref)).rejects.toMatchObject({ code: 'InstanceNotFound' })
      await expect(rig.conductor.instanceShow(member('p2'), { instance: begins })).rejects.toMatchObject({
        code: 'InstanceNotFound',
      })
      expect(await rig.conductor.operationFind(admin, { operation: operation.slice(0, 9) })).toEqual({ id: operation })
      await expect(
        rig.conductor.operationFind(member('p2'), { operation: operation.slice(0, 8) }),
      ).rejects.toMatchObject({
        code: 'OperationNotFound',
      })
      const { flavors } = await rig.conductor.flavorList(admin, {})
      const [flavor] = flavors
      expect(await rig.conductor.flavorShow(admin, { flavor: flavor!.id.slice(0, 8) })).toEqual(flavor)
      const { images } = await rig.conductor.imageList(admin, {})
      expect(await rig.conductor.imageShow(admin, { image: images[0]!.id.slice(0, 8) })).toEqual(images[0])
      // A name counts before the beginning of an id; what several ids begin with is said to be ambiguous.
      const named = await rig.boot(begins)
      expect((await rig.show(begins)).id).toBe(named.instance.id)
      const twin = `${operation.slice(0, 8)}${'-0000'.repeat(3)}-${'0'.repeat(12)}`
      const row = await rig.db
        .selectFrom('operations')
        .selectAll()
        .where('id', '=', operation)
        .executeTakeFirstOrThrow()
      await rig.db
        .insertInto('operations')
        .values({ ...row, id: twin, idempotency_key: null })
        .execute()
      await expect(rig.conductor.operationFind(admin, { operation: operation.slice(0, 8) })).rejects.toMatchObject({
        code: 'AmbiguousName',
        message: expect.stringContaining('The ids of 2 operations begin with'),
      })
    })

    test('that are not there come with those that may have been meant, of the own project only', async () => {
      const rig = await start()
      await rig.host('h1')
      await rig.boot('web')
      await rig.boot('wob', {}, member('p2'))
      const failure = await rig.conductor.instanceShow(member('p1'), { instance: 'wb' }).catch((e) => e)
      expect(failure.hint).toBe('Did you mean "web"?')
      expect(await rig.show('Web').catch((e) => e.code)).toBe('InstanceNotFound')
    })

    test('change with rename', async () => {
      const rig = await start()
      await rig.host('h1')
      const { instance } = await rig.boot('web')
      expect(await rig.conductor.instanceRename(admin, { instance: 'web', name: 'www' })).toMatchObject({
        id: instance.id,
        name: 'www',
      })
      expect((await rig.events()).at(-1)).toBe('instance.rename')
    })
  })

  describe('lists', () => {
    test('show the own project, filtered, with what is being done', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1, 'web')
      await rig.boot('mail')
      await rig.boot('theirs', {}, member('p2'))
      const names = async (asked: object, ctx = admin) =>
        (await rig.conductor.instanceList(ctx, asked)).instances.map(({ name }) => name).sort()
      expect(await names({})).toEqual(['mail', 'web'])
      expect(await names({ allProjects: true })).toEqual(['mail', 'theirs', 'web'])
      expect(await names({ status: 'ACTIVE' })).toEqual(['web'])
      expect(await names({ name: 'ai' })).toEqual(['mail'])
      expect(await names({ name: 'AI' })).toEqual([])
      expect(await names({ host: 'h1', flavor: 'm1.tiny', image: 'tiny' })).toEqual(['mail', 'web'])
      expect(await names({ flavor: 'm1.small' })).toEqual([])
      expect(await names({}, member('p2'))).toEqual(['theirs'])
      await expect(names({ allProjects: true }, member('p2'))).rejects.toMatchObject({ code: 'Forbidden' })
      const all = (await rig.conductor.instanceList(admin, { allProjects: true })).instances
      const ids = all.filter(({ name }) => name !== 'web').map(({ id }) => id)
      expect(await names({ ids })).toEqual(['mail'])
      expect(await names({ ids, allProjects: true })).toEqual(['mail', 'theirs'])
      expect(await names({ ids: ['00000000-0000-4000-8000-000000000000'] })).toEqual([])
      expect(await names({ ids, deleted: true })).toEqual([])
      const { instances } = await rig.conductor.instanceList(admin, { name: 'mail' })
      expect(instances).toMatchObject([
        { name: 'mail', status: 'BUILD', task: 'spawning', power: 'NOSTATE', host: 'h1' },
      ])
    })

    test('come in pages that fit together', async () => {
      const rig = await start()
      await rig.host('h1', { slots: 50 })
      await rig.conductor.boot(admin, { name: 'web', count: 10 })
      rig.clock.advance(1)
      await rig.conductor.boot(admin, { name: 'mail', count: 10 })
      for (const list of [
        async (page: object) => (await rig.conductor.instanceList(admin, page)).instances,
        async (page: object) => (await rig.conductor.operationList(admin, page)).operations,
      ]) {
        const all = (await list({})).map(({ id }) => id)
        expect(new Set(all).size).toBe(20)
        const paged: string[] = []
        for (
          let page = await list({ limit: 7 });
          page.length > 0;
          page = await list({ limit: 7, marker: paged.at(-1) })
        )
          paged.push(...page.map(({ id }) => id))
        expect(paged).toEqual(all)
        await expect(list({ marker: 'nonsense' })).rejects.toMatchObject({ code: 'InvalidRequest' })
      }
    })

    test('leave out what one answer cannot carry, and say so', async () => {
      const rig = await start()
      const { events: before } = await rig.conductor.eventList(admin, { limit: 10_000 })
      const drafts = Array.from({ length: 3_000 }, (_, i) => ({
        at: i,
        type: 'instance.rename',
        requestId: 'req-1',
        projectId: 'p1',
        message: `${i}`.padEnd(2_000, '✓'),
      }))
      const all = [...before, ...(await addEvents(rig.db, drafts))].map(({ id }) => id)
      const newest = await rig.conductor.eventList(admin, { limit: 10_000 })
      const listed = newest.events.map(({ id }) => id)
      expect([newest.more, listed]).toEqual([true, all.slice(-listed.length)])
      const onwards: number[] = []
      for (let after = 0, more: boolean | undefined = true; more; after = onwards.at(-1)!) {
        const page = await rig.conductor.eventList(admin, { limit: 10_000, after })
        expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(5 << 20)
        onwards.push(...page.events.map(({ id }) => id))
        more = page.more
      }
      expect(onwards).toEqual(all)
    })

    test('of images are without metadata, however much of it there is', async () => {
      const rig = await start()
      const metadata = Object.fromEntries(
        Array.from({ length: 128 }, (_, i) => [`${i}`.padEnd(255, 'k'), 'v'.repeat(255)]),
      )
      const files = { disk: { sizeBytes: 3, sha256: 'b'.repeat(64) } }
      const ask = { name: 'full', diskFormat: 'raw' as const, files, metadata }
      const { image } = await rig.conductor.imageCreate(admin, ask)
      const { images } = await rig.conductor.imageList(member('p1'), {})
      expect(images.map((row) => [row.name, row.metadata])).toEqual([
        ['full', {}],
        ['tiny', {}],
      ])
      expect((await rig.conductor.imageShow(admin, { image: image.id })).metadata).toEqual(metadata)
    })

    test('of hosts, services, flavors and images come in pages, too', async () => {
      const rig = await start()
      for (const name of ['h3', 'h1', 'h2', 'h4', 'h5']) await rig.host(name)
      await rig.schedulerIsUp()
      // Alike in all but the name, and alike in some columns only: each is on one page.
      for (const [name, vcpus, memoryMb, diskGb] of [
        ['b', 1, 64, 0],
        ['a', 1, 64, 0],
        ['c', 1, 64, 1],
        ['d', 2, 64, 0],
      ] as const)
        await rig.conductor.flavorCreate(admin, { name, vcpus, memoryMb, diskGb })
      for (const name of ['z', 'y', 'x', 'w']) {
        const files = { disk: { sizeBytes: 3, sha256: 'b'.repeat(64) } }
        await rig.conductor.imageCreate(admin, { name, diskFormat: 'raw', files })
      }
      type Row = { id?: string; name?: string; files?: object }
      const lists: Array<[string[], (page: object) => Promise<Row[]>]> = [
        [['h1', 'h2', 'h3', 'h4', 'h5'], async (page) => (await rig.conductor.hostList(admin, page)).hosts],
        [
          ['compute@h1', 'compute@h2', 'compute@h3', 'compute@h4', 'compute@h5', 'scheduler@control'],
          async (page) => (await rig.conductor.serviceList(admin, page)).services,
        ],
        [
          ['a', 'b', 'c', 'd', 'm1.tiny', 'm1.small'],
          async (page) => (await rig.conductor.flavorList(member('p1'), page)).flavors,
        ],
        [['tiny', 'w', 'x', 'y', 'z'], async (page) => (await rig.conductor.imageList(member('p1'), page)).images],
      ]
      for (const [names, list] of lists) {
        const all = await list({})
        expect(all.map(({ id, name }) => name ?? id)).toEqual(names)
        const paged: Row[] = []
        for (let page = await list({ limit: 2 }); page.length > 0; ) {
          paged.push(...page)
          page = await list({ limit: 2, marker: paged.at(-1)?.id ?? paged.at(-1)?.name })
        }
        expect(paged).toEqual(all)
        await expect(list({ marker: 'nonsense' })).rejects.toMatchObject({ code: 'InvalidRequest' })
      }
    })

    test('of operations and events may be of one instance, even of one that is gone', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const id = await rig.running(h1, 'web')
      await rig.running(h1, 'mail')
      await h1.carryOut((await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })).operation)
      const { operations } = await rig.conductor.operationList(admin, { instance: id })
      expect(operations.map(({ kind }) => kind).sort()).toEqual(['boot', 'delete'])
      const { events } = await rig.conductor.eventList(admin, { instance: id })
      expect(events.map(({ type }) => type)).toEqual([
        'instance.create.start',
        'instance.create.end',
        'instance.delete.start',
        'instance.delete.end',
      ])
      expect(events[0]).toMatchObject({ instanceName: 'web', requestId: 'req-admin', projectId: 'p1' })
      const later = await rig.conductor.eventList(admin, { after: events[1]!.id, limit: 1 })
      expect(later.events[0]!.id).toBeGreaterThan(events[1]!.id)
      expect((await rig.conductor.eventList(member('p2'), {})).events).toEqual([])
      await expect(rig.conductor.operationShow(member('p2'), { operation: operations[0]!.id })).rejects.toMatchObject({
        code: 'OperationNotFound',
      })
    })
  })

  test('the console is asked of the host', async () => {
    const rig = await start()
    const id = await rig.running(await rig.host('h1'), 'web')
    expect(await rig.conductor.consoleLog(admin, { instance: 'web', lines: 5 })).toEqual({ text: `h1 ${id} 5` })
    rig.placeAtOnce = false
    await rig.boot('mail')
    await expect(rig.conductor.consoleLog(admin, { instance: 'mail' })).rejects.toMatchObject({
      code: 'InvalidRequest',
    })
  })

  test('a host that hangs does not hold more than some of those who ask for consoles', async () => {
    const rig = await start()
    await rig.running(await rig.host('h1'), 'web')
    const answers: Array<() => void> = []
    const computeOn = (host: string) => ({
      ...rig.deps.computeOn(host),
      consoleLog: () => new Promise<{ text: string }>((resolve) => answers.push(() => resolve({ text: 'late' }))),
    })
    const conductor = conductorManager({ ...rig.deps, computeOn })
    const asked = Array.from({ length: 20 }, () => conductor.consoleLog(admin, { instance: 'web' }))
    let refused = 0
    for (const answer of asked) answer.catch(() => refused++)
    await expect.poll(() => [refused, answers.length]).toEqual([12, 8])
    for (const answer of answers) answer()
    const ends = await Promise.allSettled(asked)
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(8)
    const again = conductor.consoleLog(admin, { instance: 'web' })
    await expect.poll(() => answers.length).toBe(9)
    answers.at(-1)?.()
    expect(await again).toEqual({ text: 'late' })
  })

  test('explain shows the decision and the boot', async () => {
    const rig = await start()
    const { operation } = await rig.boot('web')
    expect(await rig.conductor.explain(admin, { instance: 'web' })).toMatchObject({
      instance: { name: 'web', status: 'ERROR' },
      decision: { summary: 'all full' },
      operation: { id: operation, state: 'failed', fault: { code: 'NoValidHost' } },
    })
  })

  test('flavors are made and deleted by administrators', async () => {
    const rig = await start()
    const request = { name: 'm1.mega', vcpus: 64, memoryMb: 65_536, diskGb: 500 }
    const made = await rig.conductor.flavorCreate(admin, request)
    expect(await rig.conductor.flavorShow(admin, { flavor: 'm1.mega' })).toEqual(made)
    await expect(rig.conductor.flavorCreate(admin, request)).rejects.toMatchObject({ code: 'FlavorExists' })
    await expect(rig.conductor.flavorCreate(member('p1'), request)).rejects.toMatchObject({ code: 'Forbidden' })
    await expect(rig.conductor.flavorDelete(member('p1'), { flavor: 'm1.mega' })).rejects.toMatchObject({
      code: 'Forbidden',
    })
    expect(await rig.conductor.flavorDelete(admin, { flavor: made.id })).toEqual({ id: made.id, name: 'm1.mega' })
    expect((await rig.conductor.flavorList(admin, {})).flavors.map(({ name }) => name)).toEqual(['m1.tiny', 'm1.small'])
  })

  describe('hosts and services', () => {
    test('are up while they are heard of, and can be taken out of use', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1)
      expect(await rig.conductor.hostShow(admin, { host: 'h1' })).toMatchObject({
        host: {
          state: 'up',
          status: 'enabled',
          used: { vcpus: 1, memoryMb: 512, diskGb: 1 },
          limit: { vcpus: 10 },
          instances: 1,
        },
        instances: [{ name: 'web' }],
      })
      await rig.conductor.serviceSet(admin, { host: 'h1', enabled: false, reason: 'new disk' })
      expect((await rig.conductor.hostList(admin, {})).hosts).toMatchObject([
        { name: 'h1', status: 'disabled', disabledReason: 'new disk' },
      ])
      expect(await rig.conductor.serviceSet(admin, { host: 'h1', enabled: true })).toMatchObject({ status: 'enabled' })
      rig.clock.advance(31)
      expect((await rig.conductor.serviceList(admin, {})).services).toMatchObject([{ id: 'compute@h1', state: 'down' }])
      await rig.agent.heartbeat(admin, { ...h1.self, operations: [] })
      await rig.agent.bye(admin, h1.self)
      expect(await rig.conductor.status(admin, {})).toMatchObject({
        database: { dialect: database.name, migration: newestVersion() },
        services: [{ id: 'compute@h1', state: 'down' }],
        daemons: { compute: { up: 0, degraded: 0, down: 1 } },
        hosts: { up: 0, degraded: 0, down: 1, disabled: 0 },
        instances: { ACTIVE: 1 },
        operations: { succeeded: 1 },
      })
      await expect(rig.conductor.hostShow(admin, { host: 'h9' })).rejects.toMatchObject({ code: 'HostNotFound' })
      await expect(rig.conductor.serviceSet(admin, { host: 'h9', enabled: true })).rejects.toMatchObject({
        code: 'ServiceNotFound',
      })
      await expect(rig.conductor.hostList(member('p1'), {})).rejects.toMatchObject({ code: 'Forbidden' })
    })

    test('are counted as they are listed: up, degraded, down and disabled', async () => {
      const rig = await start()
      const [h1, h2] = [await rig.host('h1'), await rig.host('h2')]
      await rig.host('h3')
      await rig.conductor.serviceSet(admin, { host: 'h2', enabled: false })
      rig.clock.advance(31)
      await rig.agent.heartbeat(admin, { ...h1.self, operations: [], silentMs: 1000 })
      await rig.agent.heartbeat(admin, { ...h2.self, operations: [], silentMs: 40_000 })
      await rig.schedulerIsUp()
      const { hosts, daemons } = await rig.conductor.status(admin, {})
      expect(hosts).toEqual({ up: 1, degraded: 1, down: 1, disabled: 1 })
      expect(daemons).toEqual({
        compute: { up: 1, degraded: 1, down: 1 },
        scheduler: { up: 1, degraded: 0, down: 0 },
      })
      const listed = (await rig.conductor.hostList(admin, {})).hosts.map((host) => healthOf(host))
      expect(listed).toEqual(['up', 'degraded', 'down'])
    })

    test('queues have their owners, and advice where nobody takes what waits; members see and purge none', async () => {
      const rig = await start()
      rig.queues = [
        { name: 'compute.h1', messages: 3, consumers: 0 },
        { name: 'agent', messages: 2, consumers: 1 },
        { name: 'conductor_fanout_0a', messages: 0, consumers: 1 },
        { name: 'reply_0a', messages: 0, consumers: 1 },
        { name: 'notifications.info', messages: 1, consumers: 0 },
        { name: 'printer', messages: 0, consumers: 0 },
      ]
      const { queues } = await rig.conductor.busStatus(admin, {})
      expect(queues.map(({ owner, advice }) => [owner, advice?.replace(/:.*/, '')])).toEqual([
        ['compute on h1', 'Nobody takes these messages'],
        ['any agent', undefined],
        ['one conductor, for messages to all of them', undefined],
        ['answers to one process', undefined],
        ['readers of notifications', 'Nobody takes these messages'],
        ['not of this cloud', undefined],
      ])
      expect(await rig.conductor.busPurge(admin, { queue: 'compute.h1' })).toEqual({ messages: 3 })
      await expect(rig.conductor.busPurge(admin, { queue: 'compute.h1' })).rejects.toMatchObject({
        code: 'QueueNotFound',
      })
      for (const queue of ['reply_0a', 'nova_events_0a'])
        await expect(rig.conductor.busPurge(admin, { queue })).rejects.toMatchObject({ code: 'InvalidRequest' })
      await expect(rig.conductor.busStatus(member('p1'), {})).rejects.toMatchObject({ code: 'Forbidden' })
      await expect(rig.conductor.busPurge(member('p1'), { queue: 'agent' })).rejects.toMatchObject({
        code: 'Forbidden',
      })
    })

    test('a host that reports is a host that exists, said twenty times at once', async () => {
      const rig = await start()
      await Promise.all(Array.from({ length: 20 }, () => rig.host('h1')))
      expect((await rig.conductor.hostList(admin, {})).hosts).toHaveLength(1)
    })

    test('a host keeps the zone that an administrator set, whatever its configuration says when it starts', async () => {
      const rig = await start()
      await rig.host('h1')
      const zoned = { name: 'h1', availabilityZone: 'east' }
      expect(await rig.conductor.hostSet(admin, { host: 'h1', availabilityZone: 'east' })).toMatchObject(zoned)
      await rig.conductor.hostSet(admin, { host: 'h1', availabilityZone: 'east' })
      await rig.host('h1', { life: 'the next' })
      expect((await rig.conductor.hostList(admin, {})).hosts).toMatchObject([zoned])
      const { events } = await rig.conductor.eventList(admin, { limit: 100 })
      expect(events.filter(({ type }) => type === 'host.update')).toMatchObject([
        { host: 'h1', message: 'availability zone: nova → east' },
      ])
      await expect(rig.conductor.hostSet(admin, { host: 'h2', availabilityZone: 'east' })).rejects.toMatchObject({
        code: 'HostNotFound',
      })
    })

    test('a host with instances stays in its zone: they may have been booted into that', async () => {
      const rig = await start()
      const host = await rig.host('h1')
      await rig.running(host)
      await expect(rig.conductor.hostSet(admin, { host: 'h1', availabilityZone: 'east' })).rejects.toMatchObject({
        code: 'HostInUse',
        message: 'Host h1 cannot be moved to another zone: 1 instance is on it.',
      })
      expect((await rig.conductor.hostList(admin, {})).hosts).toMatchObject([{ availabilityZone: 'nova' }])
      // To the zone where it is: nothing to do.
      await rig.conductor.hostSet(admin, { host: 'h1', availabilityZone: 'nova' })
    })

    test("a name that is another machine's is refused while that is up or has instances", async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const impostor = {
        service: 'compute',
        host: 'h1',
        incarnation: 'x',
        hostId: 'another machine',
        version: '1',
      } as const
      await expect(rig.agent.hello(admin, impostor)).rejects.toMatchObject({ code: 'HostMismatch' })
      const id = await rig.running(h1)
      rig.clock.advance(60)
      await expect(rig.agent.hello(admin, impostor)).rejects.toMatchObject({ code: 'HostMismatch' })
      await h1.carryOut((await rig.conductor.begin(admin, { instance: id, kind: 'delete' })).operation)
      expect(await rig.agent.hello(admin, impostor)).toMatchObject({ operations: [] })
      expect(await rig.agent.heartbeat(admin, { ...h1.self, operations: [{ id: id }] })).toMatchObject({ lost: [id] })
      await expect(
        rig.agent.heartbeat(admin, { service: 'compute', host: 'h2', incarnation: 'x', operations: [] }),
      ).rejects.toMatchObject({
        code: 'HostNotFound',
      })
    })

    test('a clean stop lets go of what runs at once', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      await h1.claim(operation)
      await rig.agent.bye(admin, h1.self)
      const [leg] = (await rig.operation(operation)).hosts
      expect(leg?.leaseUntil).toBeLessThanOrEqual(rig.clock.now())
    })

    test('fresh numbers change the host', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const total = { vcpus: 32, memoryMb: 64, diskGb: 128 }
      const report = { driver: 'fake', hypervisor: 'f', hypervisorVersion: '2', accelerator: 'none', total }
      await rig.computeAgent.report(admin, { ...selfOf(h1), report })
      expect((await rig.conductor.hostList(admin, {})).hosts).toMatchObject([{ total, limit: total }])
    })

    test('a host tells which cgroups bound its guests, until it does not say so any more', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const total = { vcpus: 1, memoryMb: 1, diskGb: 1 }
      const report = { driver: 'qemu', hypervisor: 'qemu', hypervisorVersion: '7', accelerator: 'tcg', total }
      const cgroups = { controllers: ['pids'], why: 'memory, cpu: /sys/fs/cgroup is mounted read-only' }
      const told = async () => (await rig.conductor.hostShow(admin, { host: 'h1' })).host.cgroups
      expect(await told()).toBeUndefined()
      await rig.computeAgent.report(admin, { ...selfOf(h1), report: { ...report, cgroups } })
      expect(await told()).toEqual(cgroups)
      await rig.computeAgent.report(admin, { ...selfOf(h1), report })
      expect(await told()).toBeUndefined()
    })

    test('an accelerator that changes is told as an event, once, with the reason', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const total = { vcpus: 1, memoryMb: 1, diskGb: 1 }
      const report = { driver: 'fake', hypervisor: 'f', hypervisorVersion: '2', accelerator: 'tcg', total }
      const said = { ...selfOf(h1), report, acceleratorWhy: 'KVM cannot run guests here' }
      await rig.computeAgent.report(admin, said)
      await rig.computeAgent.report(admin, said)
      const { events } = await rig.conductor.eventList(admin, { limit: 100 })
      expect(events.filter(({ type }) => type === 'host.accelerator_changed')).toMatchObject([
        { host: 'h1', message: 'none → tcg: KVM cannot run guests here' },
      ])
    })
  })

  describe('by itself', () => {
    test('an empty cloud gets its flavors, once, from however many conductors', async () => {
      const { db, drop } = await database.open()
      const rig = await start()
      await syncDatabase(db)
      await Promise.all([1, 2, 3].map(() => ensureDefaults({ ...rig.deps, db })))
      expect((await listFlavors(db, { limit: 10 })).map(({ name }) => name)).toEqual([
        'm1.nano',
        'm1.tiny',
        'm1.small',
        'm1.medium',
        'm1.large',
        'm1.xlarge',
      ])
      expect(await ensureDefaults(rig.deps)).toBe(false)
      await drop()
    })

    test('a conductor is seen to be up while it runs, and down after it has stopped', async () => {
      const rig = await start()
      const stop = await startPeriodic(rig.deps, { lastPongAt: undefined })
      const state = async () => (await rig.conductor.serviceList(admin, {})).services.map((s) => `${s.id} ${s.state}`)
      expect(await state()).toEqual(['conductor@control up'])
      await stop()
      expect(await state()).toEqual(['conductor@control down'])
    })

    test('tables are kept at their size', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const old = await rig.running(h1, 'old')
      await h1.carryOut((await rig.conductor.begin(admin, { instance: old, kind: 'delete' })).operation)
      const web = await rig.running(h1, 'web')
      rig.clock.advance(31 * 86_400)
      const fresh = await rig.conductor.begin(admin, { instance: web, kind: 'delete' })
      await upkeep({ ...rig.deps, options: { ...options, eventsMax: 2, historyDays: 30 } })
      expect(await rig.events()).toEqual(['host.up', 'instance.delete.start'])
      expect((await rig.conductor.operationList(admin, {})).operations.map(({ id }) => id)).toEqual([fresh.operation])
      expect((await rig.conductor.instanceList(admin, { deleted: true })).instances).toEqual([])
      await rig.boot('another')
      expect((await rig.events()).at(-1)).toBe('instance.create.start')
    })

    test('one of several conductors keeps them, and another when that one is gone', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const few = { ...options, eventsMax: 2 }
      const [one, other] = ['one', 'other'].map((incarnation) => ({ ...rig.deps, incarnation, options: few }))
      await upkeep({ ...one!, options })
      await rig.running(h1, 'web')
      await upkeep(other!)
      expect(await rig.events()).toEqual(['host.up', 'instance.create.start', 'instance.create.end'])
      rig.clock.advance(120)
      await upkeep(other!)
      expect(await rig.events()).toHaveLength(3)
      rig.clock.advance(61)
      await upkeep(other!)
      expect(await rig.events()).toEqual(['host.up', 'instance.create.end'])
    })

    test('a conductor that stops leaves the upkeep to the others at once', async () => {
      const rig = await start()
      const holder = async () => (await rig.deps.db.selectFrom('leases').select('holder').executeTakeFirst())?.holder
      const stop = await startPeriodic(rig.deps, { lastPongAt: undefined })
      await expect.poll(holder).toBe(rig.deps.incarnation)
      await stop()
      expect(await holder()).toBeUndefined()
    })
  })
})
