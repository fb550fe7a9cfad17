import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFailure } from '../../../src/core/base/errors.ts'
import { sweep } from '../../../src/core/conductor/operations/sweep.ts'
import { databases } from '../../kit/databases.ts'
import { admin, type Host, type Rig, rigsOf } from './rig.ts'

const size = { vcpus: 1, memoryMb: 512, diskGb: 1 }

/** What may happen next: to the nth instance, by the people, the hosts, or time. */
const actions = [
  'boot',
  'claim',
  'finish',
  'fault',
  'corrupt',
  'delete',
  'pause',
  'migrate',
  'cancel',
  'retry',
  'lose',
  'wait',
  'reborn',
] as const
type Action = { action: (typeof actions)[number]; which: number }
const action = fc.record({ action: fc.constantFrom(...actions), which: fc.nat(9) })

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)

  test('of twenty guarded claims on five slots exactly five are granted', async () => {
    const rig = await start()
    await rig.host('h1', { slots: 5 })
    rig.placeAtOnce = false
    const { begun } = await rig.conductor.boot(admin, { name: 'web', count: 20, flavor: 'm1.tiny' })
    const limits = { vcpus: 5, memoryMb: 5 * 512, diskGb: 5 }
    const answers = await Promise.all(begun.map(({ operation }) => rig.claimRoom(operation, 'h1', { size, limits })))
    expect(answers.filter((answer) => answer === 'placed')).toHaveLength(5)
    expect(answers.filter((answer) => answer === 'full')).toHaveLength(15)
    expect(await rig.drift()).toEqual([])
    const twice = begun.map(({ operation }) => rig.claimRoom(operation, 'h1', { size, limits }))
    expect(new Set(await Promise.all(twice))).toEqual(new Set(['gone', 'full']))
  })

  test('whatever happens, counters are sums, and an open operation is a task', async () => {
    const rig = await start()
    const hosts = new Map<string, Host>()
    for (const name of ['h1', 'h2', 'h3']) hosts.set(name, await rig.host(name, { slots: 3 }))
    let number = 0
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (story) => {
        for (const step of story) {
          await play(rig, hosts, step, number++)
          expect(await rig.drift()).toEqual([])
        }
        await check(rig)
      }),
      { numRuns: database.name === 'sqlite' ? 150 : 25, endOnFailure: true },
    )
  })
})

/** I1 and I3 as a person could see them. */
async function check(rig: Rig): Promise<void> {
  const { instances } = await rig.conductor.instanceList(admin, {})
  const { operations } = await rig.conductor.operationList(admin, { open: true })
  const busy = new Set(operations.map(({ subject }) => subject.id))
  expect(busy.size).toBe(operations.length)
  for (const { id, task, status } of instances) {
    expect(task !== undefined).toBe(busy.has(id))
    if (status === 'BUILD') expect(task).toBeDefined()
  }
  const { hosts } = await rig.conductor.hostList(admin, {})
  for (const host of hosts) {
    expect(host.used.vcpus).toBeLessThanOrEqual(host.limit.vcpus)
    // An instance on its way holds room on two hosts.
    expect(host.instances).toBeGreaterThanOrEqual(instances.filter(({ host: on }) => on === host.name).length)
  }
}

async function play(rig: Rig, hosts: Map<string, Host>, { action, which }: Action, number: number): Promise<void> {
  const { instances } = await rig.conductor.instanceList(admin, {})
  const instance = instances[which % Math.max(1, instances.length)]
  const { operations } = await rig.conductor.operationList(admin, { limit: 20 })
  const running = operations.filter(({ state }) => state === 'running' || state === 'queued')
  const operation = running[which % Math.max(1, running.length)]
  const legs = operation ? (await rig.operation(operation.id)).hosts.filter(({ state }) => state !== 'idle') : []
  const owner = hosts.get(legs[which % Math.max(1, legs.length)]?.host ?? '')
  try {
    if (action === 'boot') await rig.boot(`web${number}`)
    else if (action === 'wait') {
      rig.clock.advance(which * 20)
      await sweep(rig.deps)
    } else if (action === 'lose') rig.sent.length = 0
    else if (action === 'reborn') {
      const name = `h${(which % 3) + 1}`
      hosts.set(name, await rig.host(name, { slots: 3, life: `${name}-${number}` }))
    } else if (action === 'retry') {
      const ended = operations.filter(({ state }) => state === 'failed' || state === 'cancelled')
      const { id } = ended[which % Math.max(1, ended.length)] ?? {}
      if (id) await rig.conductor.operationRetry(admin, { operation: id })
    } else if (action === 'delete' || action === 'pause' || action === 'migrate') {
      if (instance) await rig.conductor.begin(admin, { instance: instance.id, kind: action })
    } else if (action === 'cancel') {
      if (operation) await rig.conductor.operationCancel(admin, { operation: operation.id })
    } else if (operation && owner) {
      if (action === 'claim') await owner.claim(operation.id)
      else if (action === 'finish') await owner.finish(operation.id)
      else await owner.fault(operation.id, action === 'corrupt' ? 'ImageCorrupt' : 'DriverFailed')
    }
  } catch (e) {
    // Much of it is not allowed at that moment; a refusal is an answer, a bug is not.
    if (!isFailure(e)) throw e
  }
}
