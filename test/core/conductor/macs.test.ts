import { describe, expect, test } from 'vitest'
import { systemIds } from '../../../src/core/base/ids.ts'
import { boot } from '../../../src/core/conductor/operations/boot.ts'
import { databases } from '../../kit/databases.ts'
import { admin, type Host, type Rig, rigsOf } from './rig.ts'

/** No MAC is given twice (invariant I10). */
describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)
  const macs = async (rig: Rig) =>
    (await rig.db.selectFrom('instances').select('mac').execute()).map(({ mac }) => mac).sort()
  const mac = (n: number) => `fa:16:3e:00:00:${n.toString(16).padStart(2, '0')}`
  /** Boots with chance that comes up with these MACs first. */
  const bootWith = (rig: Rig, numbers: readonly number[], request: { name: string; count?: number }) => {
    const left = [...numbers]
    const random = () => (left.shift() ?? systemIds.random() * 2 ** 24) / 2 ** 24
    const more = { image: 'tiny', flavor: 'm1.tiny', idempotencyKey: request.name }
    return boot({ ...rig.deps, ids: { ...systemIds, random } }, admin, { ...more, ...request })
  }
  /** Each instance has one operation, one subject, one leg and one event, and nothing else is there. */
  const expectOnce = async (rig: Rig, count: number) => {
    expect(new Set(await macs(rig)).size).toBe(count)
    for (const table of ['instances', 'operations', 'operation_subjects', 'operation_hosts', 'events'] as const)
      expect([table, (await rig.db.selectFrom(table).selectAll().execute()).length]).toEqual([table, count])
  }

  test('each of a thousand instances has one of its own, with the prefix of Neutron', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    await rig.boot('web', { count: 1000 })
    for (const given of await macs(rig)) expect(given).toMatch(/^fa:16:3e(:[0-9a-f]{2}){3}$/)
    await expectOnce(rig, 1000)
  })

  test('chance reaches all MACs of the prefix, from the first to the last', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    await bootWith(rig, [0, 2 ** 24 - 1], { name: 'web', count: 2 })
    expect(await macs(rig)).toEqual(['fa:16:3e:00:00:00', 'fa:16:3e:ff:ff:ff'])
  })

  test('one that is taken is passed over, by one and by many', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    await bootWith(rig, [1], { name: 'first' })
    await bootWith(rig, [1, 1, 2], { name: 'second' })
    expect(await macs(rig)).toEqual([mac(1), mac(2)])
    // Taken by others, and twice the same among these.
    const { begun } = await bootWith(rig, [3, 1, 4, 4, 5, 2, 6, 2, 1, 7, 7, 1], { name: 'many', count: 9 })
    expect(begun.map(({ instance }) => instance.name)).toEqual(Array.from({ length: 9 }, (_, i) => `many-${i + 1}`))
    await expectOnce(rig, 11)
    // The keys of those requests are theirs still.
    expect((await bootWith(rig, [1], { name: 'many', count: 9 })).begun).toEqual(begun)
    await expectOnce(rig, 11)
  })

  test('many that are taken do not stop a boot of many', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    const crowd = (count: number) => Array.from({ length: count }, () => Math.floor(systemIds.random() * 2048))
    await bootWith(rig, crowd(10_000), { name: 'first', count: 250 })
    await bootWith(rig, crowd(10_000), { name: 'second', count: 250 })
    for (const given of await macs(rig)) expect(given).toMatch(/^fa:16:3e:00:0[0-7]:/)
    await expectOnce(rig, 500)
  })

  test('of several at the same moment each gets another', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    const all = Array.from({ length: 8 }, (_, i) => bootWith(rig, [1, 2, 3], { name: `web${i}`, count: 3 }))
    expect(await Promise.all(all)).toHaveLength(8)
    await expectOnce(rig, 24)
  })

  test('a boot that finds none ends with nothing written', async () => {
    const rig = await start()
    rig.placeAtOnce = false
    await bootWith(rig, [1], { name: 'first' })
    const ones = Array<number>(1000).fill(1)
    await expect(bootWith(rig, ones, { name: 'second' })).rejects.toThrow(/unique|duplicate/i)
    await expectOnce(rig, 1)
  })

  test('is the same for every host that works on the instance, whatever is done to it', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const h2 = await rig.host('h2')
    const { operation, instance } = await rig.boot()
    const { macAddress } = await rig.show('web')
    const nics = [{ id: instance.id, mac: macAddress }]
    const carriedOut = async (host: Host, operation: string) =>
      expect((await host.carryOut(operation)).instance).toMatchObject({ nics })
    await carriedOut(h1, operation)
    for (const kind of ['suspend', 'resume', 'reboot-hard', 'stop', 'start', 'stop'] as const)
      await carriedOut(h1, (await rig.conductor.begin(admin, { instance: 'web', kind })).operation)

    await rig.db.updateTable('hosts').set({ total_vcpus: 0 }).where('name', '=', 'h1').execute()
    const moving = await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate', args: {} })
    // The target prepares; then both work at once; at the end the source cleans up.
    for (const host of [h2, h1, h2, h2, h1]) await carriedOut(host, moving.operation)
    expect(await rig.operation(moving.operation)).toMatchObject({ state: 'succeeded' })
    expect(await rig.show('web')).toMatchObject({ host: 'h2', macAddress })
    await carriedOut(h2, (await rig.conductor.begin(admin, { instance: 'web', kind: 'start' })).operation)
  })
})
