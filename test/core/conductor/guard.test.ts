import { describe, expect, test } from 'vitest'
import { busUserOf } from '../../../src/core/model/bus-user.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, type Rig, rigsOf, selfOf } from './rig.ts'

const unknown = '00000000-0000-4000-8000-000000000000'
const as = (host: string) => ({ ...admin, busUser: busUserOf(host) })

describe.each(await databases())('hosts with logins of their own (on $name)', (database) => {
  const start = rigsOf(database)
  const refused = async (rig: Rig) => (await rig.events()).filter((type) => type === 'audit.refused').length

  test('a late word about what a host once had is no theft', async () => {
    const rig = await start()
    const [h1, h2] = [await rig.host('h1', { slots: 1 }), await rig.host('h2', { slots: 1 })]
    const { operation, instance } = await rig.boot()
    await h1.claim(operation)
    await h1.fault(operation)
    await h2.claim(operation)
    expect(await rig.show(instance.id)).toMatchObject({ host: 'h2' })

    const lost = { code: 'OperationLost' }
    await expect(rig.agent.step(as('h1'), { ...h1.self, operation, step: 'start', attempt: 1 })).rejects.toMatchObject(
      lost,
    )
    await expect(rig.agent.claim(as('h1'), { ...h1.self, operation })).rejects.toMatchObject(lost)
    const beat = { ...h1.self, operations: [{ id: operation }] }
    expect(await rig.agent.heartbeat(as('h1'), beat)).toMatchObject({ lost: [operation] })
    const changes = [{ id: instance.id, power: 'SHUTDOWN' as const }]
    expect(await rig.computeAgent.power(as('h1'), { ...selfOf(h1), changes })).toEqual({})
    await h2.finish(operation)
    expect(await rig.agent.finish(as('h2'), { ...h2.self, operation, power: 'RUNNING' })).toEqual({})
    expect(await rig.show(instance.id)).toMatchObject({ status: 'ACTIVE', power: 'RUNNING' })
    expect(await refused(rig)).toBe(0)
  })

  test("a host does not grow by its own word, but with an administrator's", async () => {
    const rig = await start()
    const h1 = await rig.host('h1', { slots: 4 })
    const size = (vcpus: number) => ({ vcpus, memoryMb: vcpus * 512, diskGb: vcpus })
    const reportOf = (vcpus: number) => ({
      driver: 'fake',
      hypervisor: 'fake',
      hypervisorVersion: '1',
      accelerator: 'none',
      total: size(vcpus),
    })
    const join = (vcpus: number, ctx: typeof admin = as('h1')) =>
      rig.computeAgent.join(ctx, {
        ...selfOf(h1),
        hostId: 'id-of-h1',
        availabilityZone: 'nova',
        report: reportOf(vcpus),
        guests: [],
      })
    const known = async () => (await rig.conductor.hostShow(admin, { host: 'h1' })).host.total
    const resized = async () =>
      (await rig.conductor.eventList(admin, {})).events.flatMap(({ type, message }) =>
        type === 'host.resized' ? message : [],
      )

    await join(1_000_000)
    await rig.computeAgent.report(as('h1'), {
      ...selfOf(h1),
      report: { ...reportOf(3), total: { ...size(3), diskGb: 99 } },
    })
    expect(await known()).toEqual({ ...size(3), diskGb: 4 })
    expect(await resized()).toEqual([
      '4 vCPUs, 2048 MiB, 4 GiB; it says 1000000 vCPUs, 512000000 MiB, 1000000 GiB, which counts after: nova host set h1 --accept-capacity',
    ])
    await rig.conductor.hostAcceptCapacity(admin, { host: 'h1' })
    await join(2)
    expect(await known()).toEqual(size(2))
    await join(8)
    expect(await known()).toEqual(size(8))
    await join(16)
    expect(await known()).toEqual(size(8))
    await join(16, admin)
    expect(await known()).toEqual(size(16))
    await expect(rig.conductor.hostAcceptCapacity(admin, { host: 'h9' })).rejects.toMatchObject({
      code: 'HostNotFound',
    })
  })

  test('what is of nobody any more gets the answers that it always had', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const instance = await rig.running(h1)
    const { operation } = await rig.conductor.begin(admin, { instance, kind: 'delete' })
    await h1.carryOut(operation)
    await expect(rig.agent.claim(as('h1'), { ...h1.self, operation: unknown })).rejects.toMatchObject({
      code: 'OperationLost',
    })
    expect(await rig.agent.finish(as('h1'), { ...h1.self, operation, power: 'NOSTATE' })).toEqual({})
    const changes = [{ id: instance, power: 'SHUTDOWN' as const }]
    expect(await rig.computeAgent.power(as('h1'), { ...selfOf(h1), changes })).toEqual({})
    expect(await refused(rig)).toBe(0)
  })

  test('a host whose name begins like another’s is another', async () => {
    const rig = await start()
    const h11 = await rig.host('h11', { slots: 1 })
    const { operation } = await rig.boot()
    await rig.host('h1')
    await expect(
      rig.agent.claim(as('h1'), { service: 'compute', host: 'h1', incarnation: 'h1-life', operation }),
    ).rejects.toMatchObject({
      code: 'Forbidden',
    })
    await expect(rig.agent.claim(as('h11'), { ...h11.self, operation })).resolves.toBeDefined()
    expect(await refused(rig)).toBe(1)
  })

  test('a thief cannot push out the history of events: a refusal is told once a minute, and no more than twenty', async () => {
    const rig = await start()
    const steal = async (host: string) => {
      const theft = rig.agent.bye(as('h1'), { service: 'compute', host, incarnation: 'x' })
      await expect(theft).rejects.toMatchObject({ code: 'Forbidden', message: expect.stringContaining(host) })
    }
    for (let i = 0; i < 3; i++) await steal('h2')
    expect(await refused(rig)).toBe(1)
    for (let i = 0; i < 40; i++) await steal(`h2-${i}`)
    expect(await refused(rig)).toBe(20)
    rig.clock.advance(61)
    await steal('h2')
    expect(await refused(rig)).toBe(21)
  })

  describe('nova host add and delete', () => {
    test('are for administrators', async () => {
      const rig = await start()
      for (const method of ['hostAdd', 'hostDelete'] as const)
        await expect(rig.conductor[method](member('p1'), { host: 'h1' })).rejects.toMatchObject({ code: 'Forbidden' })
    })

    test('make a user that reaches its own queues only, whatever dots are in the name', async () => {
      const rig = await start()
      const made = await rig.conductor.hostAdd(admin, { host: 'h1.example' })
      expect(made).toMatchObject({ user: 'host.h1.example', known: false })
      const permissions = rig.users.get('host.h1.example') as { configure: string }
      const may = (queue: string) => new RegExp(permissions.configure).test(queue)
      expect(['compute.h1.example', 'volume.h1.example', 'reply_host.h1.example.0af'].every(may)).toBe(true)
      expect(['compute.h1-example', 'compute.h1.example.b', 'compute.h1', 'reply_0af', 'agent'].some(may)).toBe(false)
      expect(await rig.conductor.hostAdd(admin, { host: 'h1.example' })).toMatchObject({ known: true })
      await expect(rig.conductor.hostAdd(admin, { host: 'h'.repeat(201) })).rejects.toMatchObject({
        code: 'InvalidRequest',
      })
    })

    test('delete only what is down and empty, with its login', async () => {
      const rig = await start()
      await rig.conductor.hostAdd(admin, { host: 'h1' })
      const h1 = await rig.host('h1')
      const instance = await rig.running(h1)
      const gone = () => rig.conductor.hostDelete(admin, { host: 'h1' })
      await expect(gone()).rejects.toMatchObject({ code: 'HostInUse', message: expect.stringContaining('1 instance') })
      const { operation } = await rig.conductor.begin(admin, { instance, kind: 'delete' })
      await h1.carryOut(operation)
      await expect(gone()).rejects.toMatchObject({ code: 'HostInUse', message: expect.stringContaining('is up') })
      expect(rig.users.has('host.h1')).toBe(true)
      rig.clock.advance(60)
      expect(await gone()).toEqual({ host: 'h1', user: 'host.h1' })
      expect(rig.users.has('host.h1')).toBe(false)
      expect((await rig.conductor.hostList(admin, {})).hosts).toEqual([])
      expect((await rig.conductor.serviceList(admin, {})).services).toEqual([])
      await expect(gone()).rejects.toMatchObject({ code: 'HostNotFound' })
      // It may come back.
      await rig.host('h1')
      expect((await rig.conductor.hostList(admin, {})).hosts).toHaveLength(1)
    })
  })
})
