import { describe, expect, onTestFinished, test } from 'vitest'
import type { Engine } from '../../../src/core/agent/engine.ts'
import type { Driver } from '../../../src/core/virt/driver.ts'
import { ctx, newRig, put, type Rig, started } from './rig.ts'
import { away, nics } from './stand-in.ts'

type Power = 'RUNNING' | 'SHUTDOWN'
const powers: readonly Power[] = ['RUNNING', 'SHUTDOWN']

/** A guest on h1 that is to go to h2; both hosts' daemons run. */
async function moving(power: Power) {
  const source = await newRig()
  const target = await newRig(source.conductor, 'h2')
  const { conductor } = source
  const instance = await put(source, power)
  const daemons = { source: await started(source), target: await started(target) }
  const id = conductor.begin('migrate', instance)
  /** Never two machines of one guest, however it goes. */
  const watch = setInterval(() => {
    expect(source.fake.copies(instance) + target.fake.copies(instance)).toBeLessThanOrEqual(1)
  }, 1)
  onTestFinished(() => clearInterval(watch))
  const go = () => conductor.dispatch(id)
  return { source, target, conductor, instance, id, daemons, go, power }
}
type Moving = Awaited<ReturnType<typeof moving>>

/** The guest is where it was, as it was, and nothing of it is on the target. */
async function expectUndone({ source, target, conductor, instance, id, power }: Moving) {
  const row = await conductor.over(id)
  expect(await source.fake.power(instance)).toBe(power)
  expect(conductor.instances.get(instance)).toMatchObject({ host: 'h1', power })
  expect(await target.fake.list()).toEqual([])
  expect(row.notUndone).toBeUndefined()
  return row
}

const told = [`eth0: ${nics[0]?.mac}`, 'GUEST-READY']

async function expectMoved({ source, target, conductor, instance, id, power }: Moving) {
  const row = await conductor.over(id)
  expect(row).toMatchObject({ state: 'succeeded', fault: undefined })
  expect(await target.fake.power(instance)).toBe(power)
  expect(await source.fake.list()).toEqual([])
  expect(conductor.instances.get(instance)).toMatchObject({ host: 'h2', generation: 2 })
  const shown = await target.fake.consoleLog(instance)
  // It ran on both hosts, with the same card.
  if (power === 'RUNNING') expect(shown.match(/eth0: .*|GUEST-READY/g)).toEqual([...told, ...told])
}

const failOnce = ({ fake }: Rig, action: string, times = Number.POSITIVE_INFINITY) => {
  let left = times
  fake.setFaults((did, _, when) => {
    return did === action && when === 'before' && left-- > 0 ? new Error(`no ${action}`) : undefined
  })
}

describe.each(powers)('a cold migration of a guest that is %s', (power) => {
  test('brings it to the other host as it was', async () => {
    const move = await moving(power)
    move.go()
    await expectMoved(move)
    const steps = ['place', 'prepare', 'receive', 'stop', 'send', 'switch', 'start', 'clean']
    expect([...move.conductor.steps(move.id)].sort()).toEqual(steps.sort())
    expect(move.conductor.undone(move.id)).toEqual([])
    expect(move.source.stops.actions).toContain('stop')
    expect(move.target.stops.actions.includes('start')).toBe(power === 'RUNNING')
  })

  test.each([
    ['source', 'stop', ['stop', 'receive', 'prepare']],
    ['source', 'exportDisk', ['stop', 'receive', 'prepare']],
    ['target', 'importDisk', ['receive', 'stop', 'prepare']],
  ] as const)('is undone if the %s fails at %s', async (at, action, undone) => {
    const move = await moving(power)
    failOnce(move[at], action)
    move.go()
    const row = await expectUndone(move)
    expect(row).toMatchObject({ state: 'failed', fault: { code: 'DriverFailed', host: move[at].host } })
    expect([...move.conductor.undone(move.id)].sort()).toEqual([...undone].sort())
  })

  test('is undone if the target cannot fetch the image', async () => {
    const move = await moving(power)
    move.conductor.files.clear()
    move.go()
    expect(await expectUndone(move)).toMatchObject({ state: 'failed', fault: { code: 'ImageNotFound', host: 'h2' } })
    expect(move.source.stops.actions).not.toContain('stop')
  })

  test('is undone if what comes cannot be stored, and the target says why', async () => {
    const move = await moving(power)
    let asked = 0
    move.target.fake.setFaults((action, _, when) => {
      return action === 'importDisk' && when === 'before' && asked++ > 0 ? new Error('the disk is full') : undefined
    })
    move.go()
    const { fault } = await expectUndone(move)
    expect(fault).toMatchObject({ host: 'h2', message: expect.stringContaining('the disk is full') })
  })

  test('goes on if what came could not be stored at first', async () => {
    const move = await moving(power)
    let asked = 0
    move.target.fake.setFaults((action, _, when) => {
      return action === 'importDisk' && when === 'before' && asked++ === 2 ? new Error('a moment') : undefined
    })
    move.go()
    await expectMoved(move)
  })

  test('is over even if the source could not clean up; what is left there goes later', async () => {
    const move = await moving(power)
    failOnce(move.source, 'destroy', 1)
    move.go()
    const row = await move.conductor.over(move.id)
    expect(row.state).toBe('succeeded')
    expect(await move.target.fake.power(move.instance)).toBe(power)
    // What is left is found by the next comparison.
    await move.conductor.heard('removed')
    expect(await move.source.fake.list()).toEqual([])
  })

  test.each([
    ['source', 'stop'],
    ['source', 'exportDisk'],
    ['target', 'destroy'],
    ['target', 'importDisk'],
  ] as const)('cancelled while the %s is at %s, it is undone', async (at, action) => {
    const move = await moving(power)
    const stop = move[at].stops.at(action as keyof Driver, 'nothing')
    move.go()
    await stop.reached
    move.conductor.cancel(move.id)
    stop.go()
    expect(await expectUndone(move)).toMatchObject({ state: 'cancelled' })
  })

  test.each(['destroy', 'importDisk'] as const)(
    'a target that is killed at %s goes on in its next life',
    async (action) => {
      const move = await moving(power)
      const stop = move.target.stops.at(action, 'nothing')
      move.go()
      await stop.reached
      await move.daemons.target.kill()
      stop.go()
      await started(move.target)
      await expectMoved(move)
    },
  )

  test('a target that is killed while it receives waits again with another ticket', async () => {
    const move = await moving(power)
    const { conductor, id } = move
    const stop = move.source.stops.at('exportDisk', 'nothing')
    move.go()
    await Promise.all([stop.reached, conductor.until(() => conductor.row(id).results.receive !== undefined)])
    const ticket = conductor.row(id).results.receive
    await move.daemons.target.kill()
    stop.go()
    await started(move.target)
    await expectMoved(move)
    expect(conductor.row(id).results.receive?.secret).not.toBe(ticket?.secret)
  })

  test.each([true, false])(
    'a target that is killed when it has all takes nothing twice (source heard: %s)',
    async (heard) => {
      const move = await moving(power)
      const { conductor, id } = move
      const all = new Promise<void>((resolve) => {
        conductor.trouble = (method, when, host) => {
          if (method !== 'finish' || when !== 'before') return undefined
          const { stage } = conductor.row(id)
          if (stage !== 2) return undefined
          if (host === 'h2') resolve()
          // The source has sent it, and does not know, or does not say.
          return host === 'h2' || !heard ? away() : undefined
        }
      })
      move.go()
      await all
      await move.daemons.target.kill()
      if (heard) await conductor.until(() => conductor.leg(id, 'h1').state === 'idle')
      else await move.daemons.source.kill()
      conductor.trouble = () => undefined
      await started(move.target)
      if (!heard) await started(move.source)
      await expectMoved(move)
      expect(move.target.stops.actions.filter((action) => action === 'importDisk')).toHaveLength(1)
    },
  )

  test('a target that has all, and has said so, is not waited for by a source that did not hear it', async () => {
    const move = await moving(power)
    const { conductor, id } = move
    // The source has sent it, and dies before it can say so.
    conductor.trouble = (method, when, host) =>
      method === 'finish' && when === 'before' && host === 'h1' ? away() : undefined
    move.go()
    await conductor.until(() => conductor.row(id).stage === 2 && conductor.leg(id, 'h2').state === 'idle')
    await move.daemons.source.kill()
    await move.daemons.target.kill()
    conductor.trouble = () => undefined
    await started(move.target)
    await started(move.source)
    await expectMoved(move)
  })

  test.each(['stop', 'exportDisk'] as const)(
    'a source that is killed at %s goes on in its next life',
    async (action) => {
      const move = await moving(power)
      const stop = move.source.stops.at(action, 'nothing')
      move.go()
      await stop.reached
      await move.daemons.source.kill()
      stop.go()
      await started(move.source)
      await expectMoved(move)
    },
  )
})

test('is undone if the guest does not start on the other host: it runs where it was, in a newer generation', async () => {
  const move = await moving('RUNNING')
  failOnce(move.target, 'start')
  move.go()
  const row = await expectUndone(move)
  expect(row).toMatchObject({ state: 'failed', fault: { code: 'DriverFailed', host: 'h2' } })
  expect(move.conductor.undone(move.id).slice(0, 2)).toEqual(['start', 'switch'])
  expect(move.conductor.instances.get(move.instance)?.generation).toBe(3)
})

test('a guest that is left on the target from before is not taken for the one that comes', async () => {
  const move = await moving('RUNNING')
  await put(move.target, 'SHUTDOWN', move.instance)
  move.go()
  await expectMoved(move)
})

test('a source whose news are lost asks again by itself', async () => {
  const move = await moving('RUNNING')
  const { conductor } = move
  const stop = move.target.stops.at('importDisk', 'nothing')
  move.go()
  await stop.reached
  const hears = conductor.hosts.get('h1')!
  await conductor.until(() => conductor.steps(move.id).includes('send'))
  // Nothing reaches the source while the target tells where it waits.
  conductor.hosts.delete('h1')
  stop.go()
  await conductor.until(() => conductor.row(move.id).results.receive !== undefined)
  conductor.hosts.set('h1', hears)
  await expectMoved(move)
})

test('hosts whose slots are full of guests for one another do not wait for ever', async () => {
  const one = await newRig()
  const two = await newRig(one.conductor, 'h2')
  const { conductor } = one
  const there = await put(one, 'RUNNING')
  const back = await put(two, 'RUNNING')
  const lives = []
  for (const rig of [one, two]) lives.push(await rig.life({ options: { ...rig.deps().options, slots: 1 } }))
  const [h1, h2] = lives.map(({ engine }) => engine) as [Engine, Engine]
  conductor.hosts.clear()
  const moves = [
    { id: conductor.begin('migrate', there, { target: 'h2' }), from: h1, to: h2 },
    { id: conductor.begin('migrate', back, { target: 'h1' }), from: h2, to: h1 },
  ]
  for (const { id, to } of moves) await to.run(ctx, id).ended
  // Both hosts send before either receives: each send waits for the other host.
  const sending = moves.map(({ id, from }) => from.run(ctx, id).ended)
  await conductor.until(() => moves.every(({ id }) => conductor.steps(id).includes('send')))
  const receiving = moves.map(({ id, to }) => to.run(ctx, id).ended)
  await Promise.all([...sending, ...receiving])
  expect(moves.map(({ id }) => conductor.steps(id).at(-1))).toEqual(['switch', 'switch'])
  expect((await two.fake.list()).map(({ id }) => id)).toContain(there)
  expect((await one.fake.list()).map(({ id }) => id)).toContain(back)
})
