import { describe, expect, test } from 'vitest'
import { sweep } from '../../../src/core/conductor/operations/sweep.ts'
import { databases } from '../../kit/databases.ts'
import { admin, type Host, member, type Rig, rigsOf, selfOf } from './rig.ts'

/** Brings an instance called web into a state, by the means that people and hosts have. */
const ways: Record<string, (rig: Rig, h1: Host) => Promise<unknown>> = {
  'BUILD, waiting for a scheduler': async (rig) => {
    rig.placeAtOnce = false
    await rig.boot()
  },
  'BUILD, placed': (rig) => rig.boot(),
  'BUILD, claimed': async (rig, h1) => h1.claim((await rig.boot()).operation),
  'BUILD, past its deadline': async (rig, h1) => {
    await h1.claim((await rig.boot()).operation)
    rig.clock.advance(601)
    await sweep(rig.deps)
  },
  'ERROR, never placed': async (rig) => {
    await rig.db.updateTable('hosts').set({ total_vcpus: 0 }).execute()
    await rig.boot()
  },
  'ERROR, on its host': async (rig, h1) => {
    const { operation } = await rig.boot()
    await h1.claim(operation)
    await h1.fault(operation, 'ImageCorrupt')
  },
  ACTIVE: (rig, h1) => rig.running(h1),
  'ACTIVE, being paused': async (rig, h1) => {
    await rig.running(h1)
    await h1.claim((await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })).operation)
  },
  'ACTIVE, about to be stopped': async (rig, h1) => {
    await rig.running(h1)
    await rig.conductor.begin(admin, { instance: 'web', kind: 'stop' })
  },
  ...Object.fromEntries(
    (['pause', 'suspend', 'stop'] as const).map((kind) => [
      kind,
      async (rig: Rig, h1: Host) => {
        await rig.running(h1)
        await h1.carryOut((await rig.conductor.begin(admin, { instance: 'web', kind })).operation)
      },
    ]),
  ),
  CRASHED: async (rig, h1) => {
    const id = await rig.running(h1)
    await rig.computeAgent.power(admin, { ...selfOf(h1), changes: [{ id, power: 'CRASHED' }] })
  },
  'delete failed': async (rig, h1) => {
    await rig.running(h1)
    const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
    await h1.claim(operation)
    await h1.fault(operation)
  },
  'delete cancelled': async (rig, h1) => {
    await rig.running(h1)
    const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
    await rig.conductor.operationCancel(admin, { operation })
  },
}

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)

  test.each(Object.keys(ways))('delete works, and twice: %s', async (state) => {
    const rig = await start()
    const h1 = await rig.host('h1')
    await ways[state]?.(rig, h1)
    const { id } = await rig.show('web')
    const first = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
    const second = await rig.conductor.begin(admin, { instance: id, kind: 'delete' }).catch((e) => e.code)
    const { state: now } = await rig.operation(first.operation)
    if (now === 'queued') {
      expect(second).toEqual(first)
      await h1.carryOut(first.operation)
    } else expect(second).toBe('InstanceNotFound')

    expect(await rig.operation(first.operation)).toMatchObject({ state: 'succeeded' })
    await expect(rig.show(id)).rejects.toMatchObject({ code: 'InstanceNotFound' })
    expect((await rig.conductor.operationList(admin, { open: true })).operations).toEqual([])
    expect(await rig.drift()).toEqual([])
    expect(await rig.db.selectFrom('hosts').select(['instances', 'used_vcpus']).execute()).toMatchObject([
      { instances: 0, used_vcpus: 0 },
    ])
    const { instances } = await rig.conductor.instanceList(admin, { deleted: true })
    expect(instances).toMatchObject([{ id, name: 'web', deletedAt: expect.any(Number) }])
    expect((await rig.events()).at(-1)).toBe('instance.delete.end')
  })

  describe('of an instance that two hosts have', () => {
    /** On its way from h1 to h2 when it is deleted; h1 has done its part. */
    const halfDeleted = async () => {
      const rig = await start()
      const h1 = await rig.host('h1')
      await rig.running(h1)
      const h2 = await rig.host('h2')
      await h2.claim((await rig.conductor.begin(admin, { instance: 'web', kind: 'migrate' })).operation)
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
      await h1.claim(operation)
      await h1.finish(operation, { power: 'NOSTATE' })
      return { rig, h1, h2, operation }
    }
    const again = async (rig: Rig, ...hosts: Host[]) => {
      expect(await rig.show('web')).toMatchObject({ status: 'ERROR', power: 'NOSTATE', fault: expect.anything() })
      const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
      for (const host of hosts) await host.carryOut(operation)
      await expect(rig.show('web')).rejects.toMatchObject({ code: 'InstanceNotFound' })
      expect(await rig.drift()).toEqual([])
    }

    test('one that fails on the second leaves ERROR, and is repeated until both have cleaned up', async () => {
      const { rig, h1, h2, operation } = await halfDeleted()
      await h2.claim(operation)
      await h2.fault(operation)
      expect(await rig.operation(operation)).toMatchObject({ state: 'failed', fault: { host: 'h2' } })
      await again(rig, h1, h2)
    })

    test('one that is cancelled when the first has done its part leaves ERROR, too', async () => {
      const { rig, h1, h2, operation } = await halfDeleted()
      expect(await rig.conductor.operationCancel(admin, { operation })).toMatchObject({ state: 'cancelled' })
      await again(rig, h1, h2)
    })
  })

  test('one that is cancelled before a host has begun changes nothing', async () => {
    const rig = await start()
    await ways['delete cancelled']?.(rig, await rig.host('h1'))
    expect(await rig.show('web')).toMatchObject({ status: 'ACTIVE', power: 'RUNNING' })
  })

  test('a search of the deleted by state finds those behind others', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const bury = async (name: string) =>
      h1.carryOut((await rig.conductor.begin(admin, { instance: name, kind: 'delete' })).operation)
    await rig.running(h1, 'paused')
    await h1.carryOut((await rig.conductor.begin(admin, { instance: 'paused', kind: 'pause' })).operation)
    await bury('paused')
    for (const name of ['one', 'two']) {
      rig.clock.advance(1)
      await rig.running(h1, name)
      await bury(name)
    }
    const names = async (asked: { status?: 'PAUSED' | 'ACTIVE'; limit: number }) =>
      (await rig.conductor.instanceList(admin, { deleted: true, ...asked })).instances.map(({ name }) => name)
    expect(await names({ limit: 1 })).toEqual(['two'])
    expect(await names({ status: 'PAUSED', limit: 1 })).toEqual(['paused'])
    expect(await names({ status: 'ACTIVE', limit: 10 })).toEqual(['two', 'one'])
  })

  test('delete comes before what runs: that is cancelled, and its host hears so', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    const boot = await rig.boot()
    await h1.claim(boot.operation)
    const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'delete' })
    expect(await rig.operation(boot.operation)).toMatchObject({
      state: 'cancelled',
      fault: { code: 'OperationCancelled', message: expect.stringContaining('being deleted') },
    })
    expect(await rig.show('web')).toMatchObject({ task: 'deleting', operation: { id: operation, kind: 'delete' } })
    await expect(h1.step(boot.operation, 'disk')).rejects.toMatchObject({ code: 'OperationLost' })
    expect(await rig.agent.heartbeat(admin, { ...h1.self, operations: [{ id: boot.operation }] })).toMatchObject({
      lost: [boot.operation],
    })
    // The host's last word on the boot changes nothing any more.
    await h1.finish(boot.operation, { cancelled: true, power: 'NOSTATE' })
    await h1.carryOut(operation)
    await expect(rig.show('web')).rejects.toMatchObject({ code: 'InstanceNotFound' })
  })

  test('a delete that races with the end of a boot wins either way', async () => {
    const rig = await start()
    const h1 = await rig.host('h1', { slots: 50 })
    for (let i = 0; i < 10; i++) {
      const { operation } = await rig.boot(`web${i}`)
      await h1.claim(operation)
      const [gone] = await Promise.all([
        rig.conductor.begin(admin, { instance: `web${i}`, kind: 'delete' }),
        h1.finish(operation),
      ])
      await h1.carryOut(gone.operation)
    }
    expect((await rig.conductor.instanceList(admin, {})).instances).toEqual([])
    expect(await rig.drift()).toEqual([])
  })

  test('a delete that was not heard of and is repeated under its key is the same, even when all is over', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    await rig.running(h1)
    const request = { instance: 'web', kind: 'delete', idempotencyKey: 'k' } as const
    const first = await rig.conductor.begin(admin, request)
    await h1.carryOut(first.operation)
    expect(await rig.conductor.begin(admin, request)).toEqual(first)
    await expect(rig.conductor.begin(member('p1'), { ...request, kind: 'stop' })).rejects.toMatchObject({
      code: 'InvalidRequest',
    })
  })

  test('what is deleted frees its quota at once', async () => {
    const rig = await start()
    await rig.db.insertInto('projects').values({ id: 'p1', created_at: 0 }).execute()
    await rig.db.insertInto('quotas').values({ project_id: 'p1', resource: 'instances', max: 1 }).execute()
    await rig.boot('a')
    await expect(rig.boot('b')).rejects.toMatchObject({ code: 'QuotaExceeded' })
    await rig.conductor.begin(admin, { instance: 'a', kind: 'delete' })
    await rig.boot('b')
  })
})
