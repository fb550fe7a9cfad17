import { afterEach, describe, expect, test } from 'vitest'
import type { ConductorOptions } from '../../../src/core/conductor/deps.ts'
import { conductorManager } from '../../../src/core/conductor/manager.ts'
import { sweep } from '../../../src/core/conductor/operations/sweep.ts'
import { beginnable } from '../../../src/core/contracts/kinds.ts'
import { placedBy } from '../../../src/core/model/operation.ts'
import { databases } from '../../kit/databases.ts'
import { admin, Rig, selfOf } from './rig.ts'

const open: Rig[] = []
afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close()
})

describe.each(await databases())('on $name', (database) => {
  const start = async (but: Partial<ConductorOptions> = {}) => {
    const rig = await Rig.open(database, but)
    open.push(rig)
    return rig
  }

  test('a boot goes from the row to ACTIVE, and each change is an event', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const { operation, instance } = await rig.boot('web')
    expect(await rig.show('web')).toMatchObject({ status: 'BUILD', task: 'spawning', host: 'h1', generation: 1 })
    expect(rig.take('h1')).toEqual([operation])

    const work = await h1.claim(operation)
    expect(work).toMatchObject({
      operation: {
        id: operation,
        kind: 'boot',
        role: 'host',
        steps: ['image', 'disk', 'start'],
        undo: false,
        attempt: 1,
        requestId: 'req-admin',
        args: { image: 'tiny', flavor: 'm1.tiny' },
      },
      subject: { kind: 'instance', id: instance.id, name: 'web' },
      instance: { id: instance.id, name: 'web', size: { vcpus: 1, memoryMb: 512, diskGb: 1 }, generation: 1 },
      image: { name: 'tiny', diskFormat: 'qcow2', files: { disk: { sizeBytes: 3, sha256: 'a'.repeat(64) } } },
    })
    for (const step of ['image', 'disk', 'start']) await h1.step(operation, step)
    expect(await rig.operation(operation)).toMatchObject({
      hosts: [{ host: 'h1', role: 'host', state: 'running', step: 'start' }],
    })
    await h1.finish(operation)

    expect(await rig.show(instance.id)).toMatchObject({ status: 'ACTIVE', power: 'RUNNING', host: 'h1' })
    expect((await rig.show('web')).task).toBeUndefined()
    const done = await rig.operation(operation)
    expect(done).toMatchObject({ state: 'succeeded', step: 'start', attempt: 1 })
    expect(done.steps.map(({ name, host, attempt }) => `${name} ${host} ${attempt}`)).toEqual([
      'place h1 1',
      'image h1 1',
      'disk h1 1',
      'start h1 1',
    ])
    expect(done.hosts).toEqual([])
    expect(await rig.events()).toEqual(['host.up', 'instance.create.start', 'instance.create.end'])
    expect(rig.published.map(({ key }) => key.replace(instance.id, 'I').replace(operation, 'O'))).toEqual([
      'host.up.-.-',
      'instance.create.start.I.O',
      ...['image', 'image', 'disk', 'start'].map(() => 'operation.step.I.O'),
      'instance.create.end.I.O',
    ])
    expect(rig.published.at(-1)?.body).toMatchObject({
      status: 'ACTIVE',
      operation: { kind: 'boot', state: 'succeeded' },
    })
  })

  // Kinds that are placed have tests of their own, and the walk over the whole table.
  const simple = beginnable.filter((kind) => placedBy(kind) === undefined)
  test.each(simple)('%s leaves the instance in the state that its row names', async (kind) => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const id = await rig.running(h1)
    const before = { unpause: 'pause', resume: 'suspend', start: 'stop' } as const
    for (const verb of [before[kind as keyof typeof before], kind]) {
      if (!verb) continue
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: verb })
      expect(rig.take('h1')).toEqual([operation])
      await h1.carryOut(operation)
    }
    const states = { pause: 'PAUSED', suspend: 'SUSPENDED', stop: 'SHUTOFF' } as const
    if (kind === 'delete') await expect(rig.show(id)).rejects.toMatchObject({ code: 'InstanceNotFound' })
    else expect(await rig.show(id)).toMatchObject({ status: states[kind as keyof typeof states] ?? 'ACTIVE' })
    expect(await rig.drift()).toEqual([])
  })

  describe('migrate is refused at once', () => {
    const refused = async (rig: Rig, args: { host?: string } = {}) => {
      const { operations: before } = await rig.conductor.operationList(admin, {})
      const failure = await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate', args }).then(
        () => expect.fail('it was accepted'),
        (e) => e,
      )
      expect((await rig.conductor.operationList(admin, {})).operations).toEqual(before)
      return failure
    }

    test('if no other host is up and enabled', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      const alone = { code: 'NoValidHost', message: 'No valid host was found: besides h1, no host is up and enabled.' }
      expect(await refused(rig)).toMatchObject(alone)
      const h2 = await rig.host('h2')
      await rig.conductor.serviceSet(admin, { host: 'h2', enabled: false })
      expect(await refused(rig)).toMatchObject(alone)
      await rig.conductor.serviceSet(admin, { host: 'h2', enabled: true })
      await rig.agent.bye(admin, h2.self)
      expect(await refused(rig)).toMatchObject(alone)
      await rig.host('h2', { life: 'back' })
      await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate' })
    })

    test('if the host that it names is its own, unknown, disabled, degraded or down', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      const [h2, h3] = [await rig.host('h2'), await rig.host('h3')]
      await rig.host('h4')
      await rig.conductor.serviceSet(admin, { host: 'h4', enabled: false, reason: 'new disk' })
      await rig.agent.bye(admin, h2.self)
      await rig.agent.heartbeat(admin, { ...h3.self, operations: [], silentMs: 40_000 })
      const messages: Record<string, string> = {}
      for (const host of ['h1', 'h9', 'h4', 'h3', 'h2']) messages[host] = (await refused(rig, { host })).message
      expect(messages).toEqual({
        h1: 'web is on h1 already.',
        h9: 'No host "h9".',
        h4: 'No valid host was found: h4 is disabled: new disk.',
        h3: 'No valid host was found: h3 is degraded.',
        h2: 'No valid host was found: h2 is down.',
      })
    })

    test('if it is repeated and its host is down meanwhile', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      const h2 = await rig.host('h2')
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate', args: { host: 'h2' } })
      await h2.claim(operation)
      await h2.fault(operation)
      await rig.agent.bye(admin, h2.self)
      await expect(rig.conductor.operationRetry(admin, { operation })).rejects.toThrow('h2 is down.')
    })
  })

  test('of two callers at the same moment one begins and the other hears that it is busy', async () => {
    const rig = await start()
    await rig.running(await rig.host('h1'))
    const both = await Promise.allSettled([
      rig.conductor.begin(admin, { instance: 'web', kind: 'pause' }),
      rig.conductor.begin(admin, { instance: 'web', kind: 'stop' }),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'InstanceBusy' } })
    expect(rig.take('h1')).toHaveLength(1)
  })

  test('a wrong state is said with the verb that leads out of it', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    await rig.running(h1)
    await h1.carryOut((await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })).operation)
    await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'stop' })).resolves.toBeDefined()
    await h1.carryOut(rig.take('h1').at(-1) as string)
    await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })).rejects.toMatchObject({
      code: 'InstanceInvalidState',
      message: 'Cannot pause web: it is SHUTOFF. Start it first.',
    })
  })

  describe('a claim', () => {
    test('by the same life of a daemon, asked again, is the same', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      const first = await h1.claim(operation)
      await h1.step(operation, 'disk')
      expect(await h1.claim(operation)).toMatchObject({
        operation: { steps: ['disk', 'start'], attempt: first.operation.attempt },
      })
      expect((await rig.operation(operation)).steps.map(({ name }) => name)).toEqual(['place', 'image', 'disk'])
    })

    test('by twenty at once has one winner, all of one life', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      const works = await Promise.all(Array.from({ length: 20 }, () => h1.claim(operation)))
      expect(new Set(works.map((work) => work.operation.attempt))).toEqual(new Set([1]))
    })

    test('by a new life takes over at the step that was reached, and the old life has lost it', async () => {
      const rig = await start()
      const old = await rig.host('h1', { life: 'old' })
      const { operation } = await rig.boot()
      await old.claim(operation)
      await old.step(operation, 'disk')
      const fresh = await rig.host('h1', { life: 'fresh' })
      const hello = await rig.agent.hello(admin, {
        ...fresh.self,
        hostId: 'id-of-h1',
        version: '2',
      })
      expect(hello.operations).toEqual([operation])
      expect(await fresh.claim(operation)).toMatchObject({ operation: { steps: ['disk', 'start'], attempt: 2 } })
      for (const say of [() => old.claim(operation), () => old.step(operation, 'start'), () => old.finish(operation)])
        await expect(say()).rejects.toMatchObject({ code: 'OperationLost' })
      await fresh.finish(operation)
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE' })
    })

    test('by another host, or of what is over, is lost', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const h2 = await rig.host('h2')
      const { operation } = await rig.boot()
      await expect(h2.claim(operation)).rejects.toMatchObject({ code: 'OperationLost' })
      await h1.carryOut(operation)
      await expect(h1.claim(operation)).rejects.toMatchObject({ code: 'OperationLost' })
      await expect(h1.claim('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({ code: 'OperationLost' })
    })
  })

  test('finish said twice is harmless', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const { operation } = await rig.boot()
    await h1.claim(operation)
    await Promise.all([h1.finish(operation), h1.finish(operation), h1.finish(operation)])
    await h1.finish(operation)
    expect((await rig.events()).filter((type) => type === 'instance.create.end')).toHaveLength(1)
  })

  test('a step that is no step of its kind is refused', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const { operation } = await rig.boot()
    await h1.claim(operation)
    await expect(h1.step(operation, 'dance')).rejects.toMatchObject({ code: 'InvalidRequest' })
  })

  describe('a fault', () => {
    test('of the host sends a boot to another one, three at most', async () => {
      const rig = await start()
      const hosts = [await rig.host('h1'), await rig.host('h2'), await rig.host('h3'), await rig.host('h4')]
      const { operation } = await rig.boot()
      for (const host of hosts.slice(0, 3)) {
        expect(await rig.show('web')).toMatchObject({ status: 'BUILD', host: host.name })
        await host.claim(operation)
        await host.fault(operation)
        expect(await rig.drift()).toEqual([])
      }
      // All is undone: nothing of it is left anywhere.
      const web = await rig.show('web')
      expect(web).toMatchObject({ status: 'ERROR', fault: { code: 'DriverFailed', host: 'h3' } })
      expect(web.host).toBeUndefined()
      const { steps } = await rig.operation(operation)
      expect(steps.map(({ name, host, undo }) => `${undo ? 'undo ' : ''}${name}@${host}`)).toEqual(
        ['h1', 'h2', 'h3'].flatMap((host) => [`place@${host}`, `image@${host}`, `undo image@${host}`]),
      )
      expect((await rig.events()).filter((type) => type.startsWith('instance'))).toEqual([
        'instance.create.start',
        'instance.create.retry',
        'instance.create.retry',
        'instance.create.error',
      ])
    })

    test('that any host would have fails the boot at once', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.host('h2')
      const { operation } = await rig.boot()
      await h1.claim(operation)
      await h1.fault(operation, 'ImageCorrupt')
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR', fault: { code: 'ImageCorrupt' } })
      expect(await rig.drift()).toEqual([])
    })

    test('of another kind leaves the instance as its guest is', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1)
      const pause = await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })
      await h1.claim(pause.operation)
      await h1.finish(pause.operation, { fault: { code: 'DriverFailed', message: 'no', at: 1 } })
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE', fault: { code: 'DriverFailed' } })
      const reboot = await rig.conductor.begin(admin, { instance: 'web', kind: 'reboot' })
      await h1.claim(reboot.operation)
      await h1.finish(reboot.operation, { power: 'SHUTDOWN', fault: { code: 'DriverFailed', message: 'no', at: 1 } })
      expect(await rig.show('web')).toMatchObject({ status: 'SHUTOFF' })
    })
  })

  describe('the sweeper', () => {
    test("sends a lost message again, rarely and more rarely, and the scheduler's too", async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      rig.placeAtOnce = false
      const { operation } = await rig.boot()
      rig.take('scheduler')
      expect(await sweep(rig.deps)).toBe(0)
      rig.clock.advance(6)
      expect(await sweep(rig.deps)).toBe(1)
      expect(rig.take('scheduler')).toEqual([operation])
      rig.clock.advance(5)
      expect(await sweep(rig.deps)).toBe(0)
      rig.clock.advance(2)
      await rig.place(operation)
      rig.take('h1')
      rig.clock.advance(31)
      await rig.agent.heartbeat(admin, { ...h1.self, operations: [] })
      await Promise.all([sweep(rig.deps), sweep(rig.deps), sweep(rig.deps)])
      expect(rig.take('h1')).toEqual([operation])
    })

    test('tells the host again of what it has let go of', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      await h1.claim(operation)
      rig.take('h1')
      rig.clock.advance(20)
      await rig.agent.heartbeat(admin, { ...h1.self, operations: [{ id: operation }] })
      rig.clock.advance(20)
      expect(await sweep(rig.deps)).toBe(0)
      rig.clock.advance(20)
      expect(await sweep(rig.deps)).toBe(1)
      expect(rig.take('h1')).toEqual([operation])
      const fresh = await rig.host('h1', { life: 'fresh' })
      await fresh.carryOut(operation)
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE' })
    })

    test('fails what is past its deadline, with its step', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const id = await rig.running(h1, 'other')
      const pause = await rig.conductor.begin(admin, { instance: id, kind: 'pause' })
      await h1.claim(pause.operation)
      const boot = await rig.boot()
      await h1.claim(boot.operation)
      await h1.step(boot.operation, 'disk')
      rig.clock.advance(601)
      await Promise.all([sweep(rig.deps), sweep(rig.deps)])
      expect(await rig.operation(boot.operation)).toMatchObject({
        state: 'failed',
        fault: { code: 'DeadlinePassed', message: expect.stringContaining('step "disk"'), host: 'h1' },
      })
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR', host: 'h1' })
      expect(await rig.operation(pause.operation)).toMatchObject({ state: 'failed' })
      expect(await rig.show(id)).toMatchObject({ status: 'ACTIVE' })
      await expect(h1.step(boot.operation, 'start')).rejects.toMatchObject({ code: 'OperationLost' })
      // It comes up all the same, too late for the operation but not for us to know.
      await h1.finish(boot.operation)
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE', power: 'RUNNING' })
      expect(await rig.drift()).toEqual([])
    })

    test('places a boot anew whose host went down before it took it up', async () => {
      const rig = await start()
      await rig.host('h1', { listens: false })
      const h2 = await rig.host('h2')
      const { operation } = await rig.boot()
      expect(await rig.show('web')).toMatchObject({ host: 'h1' })
      rig.clock.advance(10)
      await sweep(rig.deps)
      expect(await rig.show('web')).toMatchObject({ host: 'h1' })
      rig.clock.advance(31)
      await rig.db.updateTable('hosts').set({ total_vcpus: 0 }).where('name', '=', 'h1').execute()
      await sweep(rig.deps)
      expect(await rig.show('web')).toMatchObject({ host: 'h2', generation: 2 })
      await h2.carryOut(operation)
      expect(await rig.drift()).toEqual([])
    })
  })

  describe('a silent host', () => {
    test('fails its caller within a second, and the operation with it', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      rig.listens.delete('h1')
      const began = performance.now()
      await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })).rejects.toMatchObject({
        code: 'HostUnreachable',
      })
      expect(performance.now() - began).toBeLessThan(1000)
      const { operations } = await rig.conductor.operationList(admin, { instance: 'web', limit: 1 })
      expect(operations).toMatchObject([{ kind: 'pause', state: 'failed', fault: { code: 'HostUnreachable' } }])
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE' })
    })

    test('that only reconnects is waited for', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      rig.listens.delete('h1')
      rig.clock.after(200, () => rig.listens.add('h1'))
      await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })
      expect(rig.take('h1')).toHaveLength(1)
    })

    test('that is not back yet where the whole bus was away is left to the sweeper', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1)
      rig.listens.delete('h1')
      rig.busBackAt = rig.clock.now()
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })
      expect(await rig.operation(operation)).toMatchObject({ state: 'queued' })
      rig.listens.add('h1')
      rig.clock.advance(9)
      await sweep(rig.deps)
      expect(await h1.carryOut(operation)).toBeDefined()
      expect(await rig.show('web')).toMatchObject({ status: 'PAUSED' })
      rig.listens.delete('h1')
      rig.clock.advance(2)
      await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'unpause' })).rejects.toMatchObject({
        code: 'HostUnreachable',
      })
    })

    test('has the time of a reconnect even if the message itself was long under way', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      rig.listens.delete('h1')
      let isFirst = true
      const computeOn = (host: string) => ({
        ...rig.deps.computeOn(host),
        run: async (...args: Parameters<ReturnType<typeof rig.deps.computeOn>['run']>) => {
          if (isFirst) {
            // As long as a message waits for a link that is down.
            rig.clock.advance(5)
            rig.clock.after(200, () => rig.listens.add('h1'))
          }
          isFirst = false
          return rig.deps.computeOn(host).run(...args)
        },
      })
      await conductorManager({ ...rig.deps, computeOn }).begin(admin, { instance: 'web', kind: 'pause' })
      expect(rig.take('h1')).toHaveLength(1)
    })

    test('that has long been down is not waited for, but a delete waits for it', async () => {
      const rig = await start()
      await rig.running(await rig.host('h1'))
      rig.listens.delete('h1')
      rig.clock.advance(100)
      const began = performance.now()
      await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'stop' })).rejects.toThrow()
      expect(performance.now() - began).toBeLessThan(300)
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
      rig.clock.advance(3600)
      await sweep(rig.deps)
      expect(await rig.operation(operation)).toMatchObject({ state: 'queued' })
      const back = await rig.host('h1', { life: 'back' })
      await sweep(rig.deps)
      await back.carryOut(operation)
      await expect(rig.show('web')).rejects.toMatchObject({ code: 'InstanceNotFound' })
    })

    test('that an instance is on its way to is not waited for, unless the host that it leaves is silent too', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1)
      const h2 = await rig.host('h2')
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate' })
      expect(await h2.carryOut(operation)).toMatchObject({ operation: { steps: ['prepare'] } })
      await h2.claim(operation)
      await h1.claim(operation)
      const beat = () => rig.agent.heartbeat(admin, { ...h1.self, operations: [{ id: operation }] })

      rig.clock.advance(40)
      await sweep(rig.deps)
      expect(await beat()).toMatchObject({ cancelled: [] })
      rig.clock.advance(6)
      // The conductor itself heard nobody until just now: its other host beats first, which proves nothing.
      rig.hearsSince = rig.clock.now()
      await sweep(rig.deps)
      expect(await beat()).toMatchObject({ cancelled: [] })
      rig.hearsSince = 0
      rig.clock.advance(6)
      await sweep(rig.deps)
      expect(await beat()).toMatchObject({ cancelled: [operation] })
      expect(await h1.finish(operation, { power: 'SHUTDOWN', cancelled: true })).toMatchObject({ undo: ['stop'] })
      await h1.step(operation, 'stop', { undo: true })
      await h1.finish(operation, { undone: true })

      const ended = await rig.operation(operation)
      expect(ended).toMatchObject({ state: 'failed', fault: { code: 'HostDown', host: 'h2' } })
      expect(ended.fault?.message).toBe(
        'The compute service on h2 is down: it has not reported for more than 30 s. Not undone on h2.',
      )
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE', host: 'h1', power: 'RUNNING' })
      expect(await rig.drift()).toEqual([])
    })
  })

  describe('cancel', () => {
    test('ends at once what waits, and gives its room back', async () => {
      const rig = await start()
      await rig.host('h1')
      const { operation } = await rig.boot()
      expect(await rig.conductor.operationCancel(admin, { operation })).toMatchObject({ state: 'cancelled' })
      const web = await rig.show('web')
      expect(web).toMatchObject({ status: 'ERROR', fault: { code: 'OperationCancelled' } })
      expect(web.host).toBeUndefined()
      expect(await rig.drift()).toEqual([])
      await expect(rig.conductor.operationCancel(admin, { operation })).rejects.toMatchObject({
        code: 'OperationNotOpen',
      })
    })

    test('asks the host to end what runs', async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      await h1.claim(operation)
      expect(await rig.conductor.operationCancel(admin, { operation })).toMatchObject({ state: 'running' })
      expect(await rig.agent.heartbeat(admin, { ...h1.self, operations: [{ id: operation }] })).toMatchObject({
        lost: [],
        cancelled: [operation],
      })
      await expect(h1.step(operation, 'disk')).rejects.toMatchObject({ code: 'OperationCancelled' })
      const answer = await h1.finish(operation, { power: 'NOSTATE', cancelled: true })
      expect(answer).toEqual({ undo: ['image'] })
      expect(await rig.operation(operation)).toMatchObject({ state: 'running', undoing: true })
      await h1.undo(operation, answer)
      expect(await rig.operation(operation)).toMatchObject({
        state: 'cancelled',
        fault: { code: 'OperationCancelled' },
      })
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR' })
      expect(rig.published.some(({ key }) => key.startsWith('operation.cancel.'))).toBe(true)
    })
  })

  describe('retry', () => {
    test('places anew what never came to a host', async () => {
      const rig = await start()
      const { operation } = await rig.boot()
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR', fault: { code: 'NoValidHost' } })
      const h1 = await rig.host('h1')
      const again = await rig.conductor.operationRetry(admin, { operation })
      expect(await rig.operation(again.operation)).toMatchObject({ retryOf: operation, kind: 'boot' })
      await h1.carryOut(again.operation)
      expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE' })
      await expect(rig.conductor.operationRetry(admin, { operation })).rejects.toMatchObject({
        code: 'InvalidRequest',
        message: expect.stringContaining('has run since'),
      })
      await expect(rig.conductor.operationRetry(admin, again)).rejects.toMatchObject({ code: 'OperationNotOpen' })
    })

    test('is placed from the start: what failed has left nothing', async () => {
      const rig = await start({ maxAttempts: 1 })
      const h1 = await rig.host('h1')
      const { operation } = await rig.boot()
      await h1.claim(operation)
      await h1.fault(operation)
      const again = await rig.conductor.operationRetry(admin, { operation })
      expect(await rig.show('web')).toMatchObject({ status: 'BUILD', host: 'h1', task: 'spawning' })
      expect(await h1.carryOut(again.operation)).toMatchObject({
        operation: { steps: ['image', 'disk', 'start'] },
        instance: { generation: 2 },
      })
      expect(await rig.drift()).toEqual([])
    })
  })

  test('a guest that crashed is in ERROR, with a fault that says what to do, and starts anew', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const id = await rig.running(h1, 'web')
    const lastWords = { [id]: 'KVM internal error. Suberror: 1' }
    await rig.computeAgent.power(admin, { ...selfOf(h1), changes: [{ id, power: 'CRASHED' }], lastWords })
    expect(await rig.show('web')).toMatchObject({
      status: 'ERROR',
      fault: {
        code: 'GuestCrashed',
        message: 'The guest of web has crashed: KVM internal error. Suberror: 1.',
        host: 'h1',
        hint: expect.stringContaining('nova reboot --hard web'),
      },
    })
    await expect(rig.conductor.begin(admin, { instance: 'web', kind: 'start' })).rejects.toThrow(
      'it is ERROR. Stop it first',
    )
    await h1.carryOut((await rig.conductor.begin(admin, { instance: 'web', kind: 'reboot-hard' })).operation)
    const mended = await rig.show('web')
    expect(mended).toMatchObject({ status: 'ACTIVE' })
    expect(mended.fault).toBeUndefined()
  })

  test('a guest that shut itself down is SHUTOFF, unless something is being done to it', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const web = await rig.running(h1, 'web')
    const busy = await rig.running(h1, 'busy')
    await rig.conductor.begin(admin, { instance: 'busy', kind: 'stop' })
    const changes = [web, busy].map((id) => ({ id, power: 'SHUTDOWN' as const }))
    await rig.computeAgent.power(admin, { host: 'h1', incarnation: 'an older life', changes })
    expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE' })
    await rig.computeAgent.power(admin, { ...selfOf(h1), changes })
    expect(await rig.show('web')).toMatchObject({ status: 'SHUTOFF', power: 'SHUTDOWN' })
    expect(await rig.show('busy')).toMatchObject({ status: 'ACTIVE' })
    expect((await rig.events()).filter((type) => type === 'instance.update')).toHaveLength(1)
  })
})
