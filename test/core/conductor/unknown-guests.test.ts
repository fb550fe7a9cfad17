import { describe, expect, test } from 'vitest'
import { databases } from '../../kit/databases.ts'
import { admin, rigsOf, selfOf } from './rig.ts'

const idOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

describe.each(await databases())('guests that are no instances of this cloud (on $name)', (database) => {
  const start = rigsOf(database)

  test('are left to the host, kept with its row while they are there, and no more than a hundred by id', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const [mine, deleted, busy] = [await rig.running(h1), await rig.running(h1), await rig.running(h1)]
    const { operation } = await rig.conductor.begin(admin, { instance: deleted, kind: 'delete' })
    await h1.carryOut(operation)
    await rig.conductor.begin(admin, { instance: busy, kind: 'delete' })
    const total = { vcpus: 10, memoryMb: 5120, diskGb: 10 }
    const join = (ids: string[]) =>
      rig.computeAgent.join(admin, {
        ...selfOf(h1),
        hostId: 'id-of-h1',
        availabilityZone: 'nova',
        report: { driver: 'fake', hypervisor: 'fake', hypervisorVersion: '1', accelerator: 'none', total },
        guests: ids.map((id) => ({ id, generation: 1 })),
      })
    const known = async () => (await rig.conductor.hostShow(admin, { host: 'h1' })).host.unknownGuests

    expect((await join([mine, deleted, busy])).remove).toEqual([deleted])
    expect(await known()).toBeUndefined()
    expect((await join([mine, idOf(2), idOf(1)])).remove).toEqual([])
    expect(await known()).toEqual({ count: 2, ids: [idOf(1), idOf(2)] })
    expect((await rig.conductor.hostList(admin, {})).hosts).toMatchObject([{ unknownGuests: { count: 2 } }])

    await join(Array.from({ length: 103 }, (_, n) => idOf(n)))
    const many = await known()
    expect(many).toMatchObject({ count: 103 })
    expect(many?.ids).toEqual(Array.from({ length: 100 }, (_, n) => idOf(n)))
    await join([mine])
    expect(await known()).toBeUndefined()
  })
})
