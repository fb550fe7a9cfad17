import { describe, expect, test } from 'vitest'
import type { Engine } from '../../../src/core/agent/engine.ts'
import type { Held } from '../../../src/core/agent/held.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import type { PowerState } from '../../../src/core/model/instance.ts'
import { kindOf, type OperationKind } from '../../../src/core/model/operation.ts'
import { beat, ctx, type Life, newRig, type Rig } from '../compute/rig.ts'
import { away } from '../compute/stand-in.ts'

const hostSteps = ['image', 'disk', 'start'] as const
/** The first thing that each step of boot does outside the daemon. */
const deedOf = { disk: 'createDisk', start: 'start' } as const

/** What this life holds of an operation. */
const heldOf = ({ held }: Pick<Engine, 'held'>, id: string): Held => held().find(({ operation }) => operation === id)!

async function booted(rig: Rig): Promise<Life & { instance: string }> {
  const life = await rig.life()
  const instance = rig.conductor.newInstance()
  await life.engine.run(ctx, rig.conductor.begin('boot', instance)).ended
  expect(await rig.fake.power(instance)).toBe('RUNNING')
  return { instance, ...life }
}

describe('an operation', () => {
  test('boot takes its steps in order, records each before it is taken, and ends with the observed power', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const instance = rig.conductor.newInstance()
    const id = rig.conductor.begin('boot', instance)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({
      state: 'succeeded',
      power: 'RUNNING',
      fault: undefined,
    })
    expect(rig.conductor.steps(id)).toEqual(['place', ...hostSteps])
    expect(rig.stops.actions).toEqual(['createDisk', 'start'])
    expect(rig.fake.copies(instance)).toBe(1)
    expect(engine.held()).toEqual([])
  })

  const from: Partial<Record<OperationKind, OperationKind>> = { unpause: 'pause', resume: 'suspend', start: 'stop' }
  // Boot is above; a migration takes two hosts; the third is not about a guest.
  type Single = Exclude<OperationKind, 'boot' | 'migrate' | 'delete-image'>
  const ends: Record<Single, PowerState> = {
    pause: 'PAUSED',
    unpause: 'RUNNING',
    suspend: 'SUSPENDED',
    resume: 'RUNNING',
    stop: 'SHUTDOWN',
    start: 'RUNNING',
    reboot: 'RUNNING',
    'reboot-hard': 'RUNNING',
    delete: 'NOSTATE',
  }
  test.each(Object.keys(ends) as Single[])('%s does what it says', async (kind) => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    const first = from[kind]
    if (first) await engine.run(ctx, rig.conductor.begin(first, instance)).ended
    const id = rig.conductor.begin(kind, instance)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: ends[kind] })
    expect(rig.conductor.steps(id)).toEqual(kindOf(kind).steps.map(({ name }) => name))
    expect(await rig.fake.power(instance)).toBe(ends[kind])
  })

  test('announced again while it runs, and after, it is done once', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const stop = rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const runs = [engine.run(ctx, id)]
    await stop.reached
    runs.push(engine.run(ctx, id), engine.run(ctx, id))
    stop.go()
    await Promise.all(runs.map((run) => run.ended))
    await engine.run(ctx, id).ended
    expect(rig.stops.actions).toEqual(['createDisk', 'start'])
    expect(rig.conductor.saidOf('finish')).toHaveLength(1)
  })

  test('is answered for as soon as it is claimed', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const stop = rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const { claimed, ended } = engine.run(ctx, id)
    await claimed
    expect(rig.conductor.row(id).state).toBe('running')
    stop.go()
    await ended
  })

  test('that the conductor does not give is not touched', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    await engine.run(ctx, 'b1f3ba53-0000-4000-8000-000000000000').ended
    expect(rig.stops.actions).toEqual([])
  })

  test('is asked for until a conductor answers', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    let left = 4
    rig.conductor.trouble = (method, when) => {
      return method === 'claim' && (when === 'before') === left > 2 && left-- > 0 ? away() : undefined
    }
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id).state).toBe('succeeded')
    expect(rig.conductor.steps(id)).toEqual(['place', ...hostSteps])
  })

  test('of a kind that this host does not know is not carried out, and says what to do', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    const before = [...rig.stops.actions]
    rig.conductor.amend = (work) => ({ ...work, operation: { ...work.operation, kind: 'teleport' } })
    const id = rig.conductor.begin('pause', instance)
    await engine.run(ctx, id).ended
    const { state, fault } = rig.conductor.row(id)
    expect(state).toBe('failed')
    expect(fault).toMatchObject({ code: 'UnsupportedVersion', host: 'h1' })
    expect(fault?.message).toContain('does not know the operation "teleport"')
    expect(rig.stops.actions).toEqual(before)
  })

  test('at most `slots` run at once, and all of them in the end', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const stop = rig.stops.at('createDisk')
    const ids = Array.from({ length: 30 }, () => rig.conductor.begin('boot', rig.conductor.newInstance()))
    const runs = ids.map((id) => engine.run(ctx, id))
    await Promise.all(runs.map((run) => run.claimed))
    await stop.reached
    expect(rig.stops.actions.length).toBeLessThanOrEqual(8)
    stop.go()
    await Promise.all(runs.map((run) => run.ended))
    expect(ids.map((id) => rig.conductor.row(id).state)).toEqual(ids.map(() => 'succeeded'))
  })

  test('of one instance waits for the one before it', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    const stop = rig.stops.at('pause', 'nothing')
    const first = engine.run(ctx, rig.conductor.begin('pause', instance))
    await stop.reached
    const second = engine.run(ctx, rig.conductor.begin('unpause', instance))
    await second.claimed
    expect(rig.stops.actions.at(-1)).toBe('pause')
    stop.go()
    await Promise.all([first.ended, second.ended])
    expect(await rig.fake.power(instance)).toBe('RUNNING')
  })
})

describe('failing', () => {
  test.each(['createDisk', 'start'] as const)('at %s leaves nothing on the host and says why', async (action) => {
    for (const when of ['before', 'after'] as const) {
      const rig = await newRig()
      const { engine } = await rig.life()
      rig.fake.setFaults((d, _, w) => (d === action && w === when ? new Error('out of luck') : undefined))
      const id = rig.conductor.begin('boot', rig.conductor.newInstance())
      await engine.run(ctx, id).ended
      const { state, fault, power } = rig.conductor.row(id)
      expect(state).toBe('failed')
      expect(fault).toMatchObject({ code: 'DriverFailed', host: 'h1' })
      expect(fault?.message).toContain('out of luck')
      expect(power).toBe('NOSTATE')
      expect(rig.conductor.steps(id).at(-1)).toBe(action === 'start' ? 'start' : 'disk')
      expect(rig.conductor.undone(id)).toEqual(['disk', 'image'])
      expect(await rig.fake.list()).toEqual([])
    }
  })

  test('at the image leaves nothing on the host and says what to do', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const good = rig.conductor.image()
    rig.conductor.image = () => ({ ...good, files: { disk: { sizeBytes: 6, sha256: 'f'.repeat(64) } } })
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({
      state: 'failed',
      fault: { code: 'ImageCorrupt', hint: 'Upload it again: nova image create' },
    })
    expect(await rig.fake.list()).toEqual([])
  })

  test('because the image was deleted since says so', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    rig.conductor.files.clear()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id).fault?.code).toBe('ImageNotFound')
  })

  test('a bug of ours is told by its class', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    rig.fake.pause = () => Promise.reject(new TypeError('nothing there'))
    const id = rig.conductor.begin('pause', instance)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ fault: { code: 'TypeError', message: 'nothing there' } })
  })

  test('of another kind than boot takes nothing away', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    rig.fake.setFaults((action) => (action === 'reboot' ? new Error('no') : undefined))
    const id = rig.conductor.begin('reboot', instance)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', power: 'RUNNING' })
    expect(rig.stops.actions).not.toContain('destroy')
  })

  test('undoing is tried again where it fails', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    let failures = 2
    rig.fake.setFaults((action, _, when) => {
      if (when === 'after') return undefined
      return action === 'start' || (action === 'destroy' && failures-- > 0) ? new Error('busy') : undefined
    })
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', power: 'NOSTATE' })
    expect(await rig.fake.list()).toEqual([])
  })

  test('past the deadline names the step and is taken back', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance(), { deadline: 20_000 })
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'failed', fault: { code: 'DeadlinePassed' } })
    expect(rig.conductor.row(id).fault?.message).toContain('step "start"')
    expect(await rig.fake.list()).toEqual([])
  })
})

test('a host whose clock is far ahead still gives its operations time', async () => {
  const rig = await newRig()
  const { instance } = await booted(rig)
  const ahead = { ...rig.clock, now: () => rig.clock.now() + 3_600_000 }
  const { engine } = await rig.life({ clock: ahead })
  const stop = rig.stops.at('stop')
  const id = rig.conductor.begin('stop', instance)
  const run = engine.run(ctx, id)
  await stop.reached
  // A deadline that has passed already would be noticed before this.
  await rig.clock.sleep(0)
  stop.go()
  await run.ended
  expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'SHUTDOWN' })
})

describe('cancelling', () => {
  test.each(['disk', 'start'] as const)('a boot at %s takes it back', async (step) => {
    const rig = await newRig()
    const life = await rig.life()
    const stop = rig.stops.at(deedOf[step])
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const { ended } = life.engine.run(ctx, id)
    await stop.reached
    rig.conductor.cancel(id)
    await beat(life)
    await ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'cancelled', power: 'NOSTATE', fault: undefined })
    expect(await rig.fake.list()).toEqual([])
  })

  test('a boot that fetches its image ends the fetch', async () => {
    const rig = await newRig()
    const life = await rig.life()
    rig.conductor.trouble = (method) => (method === 'imageRead' ? away() : undefined)
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const run = life.engine.run(ctx, id)
    await run.claimed
    rig.conductor.cancel(id)
    await beat(life)
    await run.ended
    expect(rig.conductor.row(id).state).toBe('cancelled')
  })

  test('is heard at the next step without a heartbeat', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const stop = rig.stops.at('createDisk')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const { ended } = engine.run(ctx, id)
    await stop.reached
    rig.conductor.cancel(id)
    stop.go()
    await ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'cancelled', power: 'NOSTATE' })
    expect(rig.stops.actions).toEqual(['createDisk', 'destroy'])
  })

  test('a stop that waits for its guest ends the wait and leaves the guest running', async () => {
    const rig = await newRig()
    const { instance, ...life } = await booted(rig)
    const stop = rig.stops.at('stop')
    const id = rig.conductor.begin('stop', instance)
    const { ended } = life.engine.run(ctx, id)
    await stop.reached
    rig.conductor.cancel(id)
    await beat(life)
    await ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'cancelled', power: 'RUNNING' })
  })

  test('a boot in the moment in which it is done takes it back', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    rig.fake.setFaults((action, _, when) => {
      if (action === 'start' && when === 'after') heldOf(engine, id).cancel(new Failure('OperationCancelled', { id }))
      return undefined
    })
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'cancelled', power: 'NOSTATE' })
    expect(await rig.fake.list()).toEqual([])
  })

  test('what is done already is done, where it cannot be taken back', async () => {
    const rig = await newRig()
    const { instance, ...life } = await booted(rig)
    const stop = rig.stops.at('pause', 'nothing')
    const id = rig.conductor.begin('pause', instance)
    const { ended } = life.engine.run(ctx, id)
    await stop.reached
    rig.conductor.cancel(id)
    await beat(life)
    stop.go()
    await ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'PAUSED' })
  })
})

describe('losing', () => {
  test('an operation leaves the guest as it is and tells nobody', async () => {
    const rig = await newRig()
    const life = await rig.life()
    const stop = rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    const { ended } = life.engine.run(ctx, id)
    await stop.reached
    rig.conductor.leg(id).owner = 'another life'
    await beat(life)
    await ended
    expect(rig.conductor.saidOf('finish')).toEqual([])
    expect(rig.stops.actions).not.toContain('destroy')
    expect(await rig.fake.list()).toHaveLength(1)
  })
})

test('losing an operation in the moment in which it is done tells nobody either', async () => {
  const rig = await newRig()
  const { engine } = await rig.life()
  const instance = rig.conductor.newInstance()
  const id = rig.conductor.begin('boot', instance)
  rig.fake.setFaults((action, _, when) => {
    if (action === 'start' && when === 'after') heldOf(engine, id).abandon('it is another’s')
    return undefined
  })
  await engine.run(ctx, id).ended
  expect(rig.conductor.saidOf('finish')).toEqual([])
  expect(rig.fake.copies(instance)).toBe(1)
})

describe('delete', () => {
  test.each(['createDisk', 'start'] as const)('pre-empts a boot at %s, waits until it lets go', async (action) => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const instance = rig.conductor.newInstance()
    const stop = rig.stops.at(action, 'nothing')
    const boot = rig.conductor.begin('boot', instance)
    const booting = engine.run(ctx, boot)
    await stop.reached
    const deletion = rig.conductor.begin('delete', instance)
    const deleting = engine.run(ctx, deletion)
    await deleting.claimed
    expect(rig.stops.actions).not.toContain('destroy')
    stop.go()
    await Promise.all([booting.ended, deleting.ended])
    expect(rig.conductor.row(deletion).state).toBe('succeeded')
    expect(rig.conductor.row(boot).state).toBe('cancelled')
    expect(rig.stops.actions.filter((d) => d === 'destroy')).toHaveLength(1)
    expect(await rig.fake.list()).toEqual([])
  })

  test('ends a boot that heeds it at once, even with every slot taken', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    rig.stops.at('start')
    const instances = Array.from({ length: 8 }, () => rig.conductor.newInstance())
    const boots = instances.map((instance) => engine.run(ctx, rig.conductor.begin('boot', instance)))
    await rig.conductor.heard('step', 16)
    const deletes = instances.map((instance) => engine.run(ctx, rig.conductor.begin('delete', instance)))
    await Promise.all([...boots, ...deletes].map((run) => run.ended))
    expect(await rig.fake.list()).toEqual([])
    expect(rig.conductor.instances.size).toBe(0)
  })

  test('works twice, and where there is nothing', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    for (const _ of [1, 2]) {
      const id = rig.conductor.begin('delete', instance)
      await engine.run(ctx, id).ended
      expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'NOSTATE' })
    }
  })
})

describe('while the conductor is away', () => {
  test.each(['step', 'finish'] as const)('what cannot be told at %s is told later', async (silent) => {
    for (const when of ['before', 'after'] as const) {
      const rig = await newRig()
      const { engine } = await rig.life()
      let left = 4
      rig.conductor.trouble = (method, at) => (method === silent && at === when && left-- > 0 ? away() : undefined)
      const id = rig.conductor.begin('boot', rig.conductor.newInstance())
      await engine.run(ctx, id).ended
      expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'RUNNING' })
      expect(rig.stops.actions).toEqual(['createDisk', 'start'])
    }
  })

  test('a step that can never be told ends with the deadline, and says what was in the way', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance(), { deadline: 20_000 })
    rig.conductor.trouble = (method) => (method === 'step' && !rig.conductor.row(id).undoing ? away() : undefined)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id).fault?.message).toContain('No daemon consumes the queue of conductor')
    expect(await rig.fake.list()).toEqual([])
  })

  test('an end that nobody hears is given up some time after the deadline, and the guest stays', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    rig.conductor.trouble = (method) => (method === 'finish' ? away() : undefined)
    const instance = rig.conductor.newInstance()
    await engine.run(ctx, rig.conductor.begin('boot', instance, { deadline: 20_000 })).ended
    expect(rig.fake.copies(instance)).toBe(1)
  })
})

describe('the next life', () => {
  test.each(['createDisk', 'start'] as const)('goes on where one was killed at %s', async (action) => {
    for (const when of ['before', 'after'] as const) {
      const rig = await newRig()
      const first = await rig.life()
      const instance = rig.conductor.newInstance()
      const id = rig.conductor.begin('boot', instance)
      // Killed: from this action on the first life neither does nor says anything.
      rig.conductor.trouble = (method) => (method === 'finish' ? away() : undefined)
      const dead = new Promise<void>((resolve) => {
        rig.fake.setFaults((d, _, w) => {
          if (d === action && w === when) resolve()
          return undefined
        })
      })
      const stop = rig.stops.at(action, 'nothing')
      void first.engine.run(ctx, id)
      await stop.reached
      if (when === 'after') {
        stop.go()
        await dead
      }
      heldOf(first.engine, id).abandon('killed')
      rig.conductor.trouble = () => undefined
      rig.conductor.leg(id).leaseUntil = 0
      const second = await rig.life()
      stop.go()
      await second.engine.run(ctx, id).ended
      expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'RUNNING' })
      expect(rig.fake.copies(instance)).toBe(1)
      expect(rig.conductor.steps(id)).toEqual(['place', ...hostSteps])
    }
  })

  test('of a boot that was undone but not ended begins again from nothing', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const instance = rig.conductor.newInstance()
    const id = rig.conductor.begin('boot', instance)
    rig.conductor.reached(id, hostSteps)
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'RUNNING' })
    expect(rig.stops.actions).toEqual(['createDisk', 'start'])
  })

  test('takes only the steps that were not passed', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    rig.conductor.reached(id, ['image', 'disk'])
    await engine.run(ctx, id).ended
    expect(rig.conductor.saidOf('step')).toHaveLength(1)
    expect(rig.conductor.row(id).state).toBe('succeeded')
  })

  test('a step that nobody knows fails the operation instead of guessing', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    rig.conductor.amend = (work) => ({ ...work, operation: { ...work.operation, steps: ['teleport'] } })
    await engine.run(ctx, id).ended
    expect(rig.conductor.row(id).fault?.message).toContain('no step teleport')
  })
})

describe('stopping', () => {
  test.each(['createDisk', 'start'] as const)(
    'at %s leaves the boot at its step, and the next life ends it',
    async (action) => {
      const rig = await newRig()
      const first = await rig.life()
      const instance = rig.conductor.newInstance()
      const id = rig.conductor.begin('boot', instance)
      const stop = rig.stops.at(action)
      const { ended } = first.engine.run(ctx, id)
      await stop.reached
      await first.engine.stop()
      await ended
      expect(rig.conductor.row(id).state).toBe('running')
      expect(rig.stops.actions).not.toContain('destroy')
      stop.go()
      await rig.conductor.agent().bye(ctx, { service: 'compute', host: 'h1', incarnation: first.deps.incarnation })
      const second = await rig.life()
      await second.engine.run(ctx, id).ended
      expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'RUNNING' })
      expect(rig.fake.copies(instance)).toBe(1)
    },
  )

  test('lets an action end, and says so where it was the last', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    const stop = rig.stops.at('pause', 'nothing')
    const id = rig.conductor.begin('pause', instance)
    engine.run(ctx, id)
    await stop.reached
    const stopped = engine.stop()
    stop.go()
    await stopped
    expect(rig.conductor.row(id)).toMatchObject({ state: 'succeeded', power: 'PAUSED' })
  })

  test('does not wait for ever for an action that hangs', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    const stop = rig.stops.at('pause', 'nothing')
    const id = rig.conductor.begin('pause', instance)
    const { ended } = engine.run(ctx, id)
    await stop.reached
    await engine.stop()
    await ended
    expect(rig.conductor.row(id).state).toBe('running')
    stop.go()
  })

  test('does not wait for a conductor that is away', async () => {
    const rig = await newRig()
    const { engine, instance } = await booted(rig)
    rig.conductor.trouble = (method) => (method === 'finish' ? away() : undefined)
    const id = rig.conductor.begin('pause', instance)
    const run = engine.run(ctx, id)
    await run.claimed
    await engine.stop()
    await run.ended
    expect(rig.conductor.row(id).state).toBe('running')
  })

  test('claims nothing afterwards', async () => {
    const rig = await newRig()
    const { engine } = await rig.life()
    await engine.stop()
    await engine.run(ctx, rig.conductor.begin('boot', rig.conductor.newInstance())).ended
    expect(rig.conductor.saidOf('claim')).toEqual([])
  })
})
