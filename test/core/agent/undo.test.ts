import { describe, expect, test } from 'vitest'
import { beat, ctx, newRig, type Rig } from '../compute/rig.ts'
import { away } from '../compute/stand-in.ts'

const hostSteps = ['image', 'disk', 'start']

/** A boot whose guest does not start. */
function failing(rig: Rig): { instance: string; id: string } {
  rig.fake.setFaults((action, _, when) => (action === 'start' && when === 'before' ? new Error('no luck') : undefined))
  const instance = rig.conductor.newInstance()
  return { instance, id: rig.conductor.begin('boot', instance) }
}

describe('undoing', () => {
  test('goes backwards, each step recorded before it is undone, and is told with what is left of the guest', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const { id } = failing(rig)
    const order: string[] = []
    rig.conductor.trouble = (method, when) => {
      const last = rig.conductor.row(id).recorded.at(-1)
      if (method === 'step' && when === 'after' && last?.undo) order.push(`recorded ${last.name}`)
      return undefined
    }
    rig.fake.setFaults((action, _, when) => {
      if (action === 'destroy' && when === 'before') order.push('destroy')
      return action === 'start' ? new Error('no luck') : undefined
    })
    await engine.run(ctx, id).ended
    expect(order).toEqual(['recorded disk', 'destroy', 'recorded image'])
    expect(rig.conductor.undone(id)).toEqual(['disk', 'image'])
    expect(rig.conductor.saidOf('finish')).toMatchObject([
      { fault: { code: 'DriverFailed' } },
      { undone: true, power: 'NOSTATE' },
    ])
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', fault: { code: 'DriverFailed' } })
  })

  test('is told by the conductor alone: a host that hears of no undo leaves all as it is', async () => {
    const rig = await newRig()
    const { id, instance } = failing(rig)
    const agent = rig.conductor.agent()
    const finish: typeof agent.finish = async (...args) => {
      await agent.finish(...args)
      return {}
    }
    const other = await rig.life({ agent: { ...agent, finish } })
    await other.engine.run(ctx, id).ended
    expect(rig.stops.actions).not.toContain('destroy')
    expect(await rig.fake.power(instance)).toBe('SHUTDOWN')
  })

  test.each(['before', 'after'] as const)('survives a lost answer of finish and step (%s)', async (lost) => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const { id } = failing(rig)
    const left = { finish: 3, step: 3 }
    rig.conductor.trouble = (method, when) => {
      if ((method !== 'finish' && method !== 'step') || when !== lost) return undefined
      return left[method]-- > 0 ? away() : undefined
    }
    await engine.run(ctx, id).ended
    expect(rig.conductor.undone(id)).toEqual(['disk', 'image'])
    expect(rig.conductor.steps(id)).toEqual(['place', ...hostSteps])
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', power: 'NOSTATE', notUndone: undefined })
    expect(await rig.fake.list()).toEqual([])
  })

  test.each(['disk', 'image'] as const)('cut off at %s is resumed there by the next life', async (step) => {
    const rig = await newRig()
    const first = await rig.life()
    const { id } = failing(rig)
    const reached = new Promise<void>((resolve) => {
      rig.conductor.trouble = (method, when) => {
        const last = rig.conductor.row(id).recorded.at(-1)
        if (method !== 'step' || when !== 'after' || !last?.undo || last.name !== step) return undefined
        resolve()
        return away()
      }
    })
    void first.engine.run(ctx, id)
    await reached
    await first.kill()
    rig.conductor.trouble = () => undefined
    rig.conductor.leg(id).leaseUntil = 0
    const before = rig.stops.actions.length
    const second = await rig.life()
    await second.engine.run(ctx, id).ended
    expect(rig.conductor.undone(id)).toEqual(['disk', 'image'])
    expect(rig.stops.actions.slice(before)).toEqual(step === 'disk' ? ['destroy'] : [])
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', fault: { code: 'DriverFailed' }, power: 'NOSTATE' })
    expect(await rig.fake.list()).toEqual([])
  })

  test('that cannot be done is told as a fault, after five tries', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const { id, instance } = failing(rig)
    let tries = 0
    rig.fake.setFaults((action, _, when) => {
      if (when === 'after') return undefined
      if (action === 'destroy') tries++
      return action === 'start' || action === 'destroy' ? new Error(`no ${action}`) : undefined
    })
    await engine.run(ctx, id).ended
    expect(tries).toBe(5)
    expect(rig.conductor.saidOf('finish').at(-1)).toMatchObject({ undone: true, fault: { host: 'h1' } })
    const { notUndone, fault } = rig.conductor.row(id)
    expect(notUndone?.message).toContain('no destroy')
    expect(fault?.message).toContain('no start')
    expect(rig.conductor.residue).toEqual(new Set([`h1 ${instance}`]))
    expect(engine.held()).toEqual([])
  })

  test('goes on past the deadline, and does not heed a cancel', async () => {
    const rig = await newRig()
    const life = await rig.life()
    const { id } = failing(rig)
    rig.conductor.row(id).deadline = rig.clock.now() + 20_000
    const stop = rig.stops.at('destroy', 'nothing')
    const { ended } = life.engine.run(ctx, id)
    await stop.reached
    rig.conductor.cancel(id)
    await beat(life)
    await rig.clock.sleep(25_000)
    stop.go()
    await ended
    expect(rig.conductor.undone(id)).toEqual(['disk', 'image'])
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', power: 'NOSTATE', notUndone: undefined })
  })

  test('is left where it is by a daemon that stops, and by one that has lost it', async () => {
    for (const how of ['stop', 'lose'] as const) {
      const rig = await newRig()
      const life = await rig.life()
      const { id } = failing(rig)
      const stop = rig.stops.at('destroy', 'nothing')
      const { ended } = life.engine.run(ctx, id)
      await stop.reached
      if (how === 'lose') rig.conductor.leg(id).owner = 'another life'
      const over = how === 'stop' ? life.engine.stop() : beat(life)
      stop.go()
      await Promise.all([over, ended])
      expect(rig.conductor.undone(id)).toEqual(['disk'])
      expect(rig.conductor.saidOf('finish')).toHaveLength(1)
    }
  })

  test('a cancel of what waits for its turn is undone when that comes', async () => {
    const rig = await newRig()
    const life = await rig.life()
    const stop = rig.stops.at('createDisk', 'nothing')
    const instance = rig.conductor.newInstance()
    const first = life.engine.run(ctx, rig.conductor.begin('boot', instance))
    await stop.reached
    const id = rig.conductor.begin('boot', instance)
    const second = life.engine.run(ctx, id)
    await second.claimed
    rig.conductor.cancel(id)
    await beat(life)
    expect(rig.conductor.saidOf('finish')).toEqual([])
    stop.go()
    await Promise.all([first.ended, second.ended])
    expect(rig.conductor.row(id).state).toBe('cancelled')
    expect(rig.conductor.undone(id)).toEqual(['image'])
  })
})
