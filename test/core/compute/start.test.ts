import { describe, expect, onTestFinished, test } from 'vitest'
import { deferred } from '../../../src/core/base/concurrency.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { startCompute } from '../../../src/core/compute/start.ts'
import { openTransfers } from '../../../src/core/compute/transfer.ts'
import { compute } from '../../../src/core/contracts/compute.ts'
import { kindNames, kindOf, type OperationKind } from '../../../src/core/model/operation.ts'
import { ctx, guest, newBus, newRig, put, started } from './rig.ts'
import { away } from './stand-in.ts'

describe('starting', () => {
  test('tells the cloud who and what it is, serves, and stops with a farewell', async () => {
    const rig = await newRig()
    const { stop, host, deps, served } = await started(rig)
    expect(rig.conductor.saidOf('hello')).toEqual([
      {
        service: 'compute',
        host: 'h1',
        incarnation: deps.incarnation,
        hostId: 'id of h1',
        version: '1',
        contracts: { [compute.topic]: compute.version },
      },
    ])
    expect(rig.conductor.saidOf('join')).toEqual([
      {
        host: 'h1',
        incarnation: deps.incarnation,
        hostId: 'id of h1',
        availabilityZone: 'nova',
        report: {
          driver: 'fake',
          hypervisor: 'fake',
          hypervisorVersion: '1',
          accelerator: 'fake',
          total: { vcpus: 64, memoryMb: 262_144, diskGb: 4096 },
        },
        guests: [],
      },
    ])
    expect(await host.ping(ctx, {})).toEqual({ host: 'h1', incarnation: deps.incarnation })
    await stop()
    expect(rig.conductor.saidOf('bye')).toHaveLength(1)
    expect(served).toEqual([])
  })

  test('waits for a conductor, and lets in what is sent meanwhile only after it has joined', async () => {
    const rig = await newRig()
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    let unresponsive = 3
    const { bus, served } = newBus()
    rig.conductor.trouble = (method) => {
      if (method !== 'hello') return undefined
      void served[0]!.run(ctx, { operation: id })
      expect(rig.conductor.saidOf('claim')).toEqual([])
      return unresponsive-- > 0 ? away() : undefined
    }
    onTestFinished(await startCompute({ ...rig.deps(), bus }))
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded' })
    expect(rig.conductor.saidOf('claim')).toHaveLength(1)
  })

  test('under the name of another machine ends it', async () => {
    const rig = await newRig()
    rig.conductor.hostIds.set('h1', 'another')
    const { bus, served } = newBus()
    await expect(startCompute({ ...rig.deps(), bus })).rejects.toMatchObject({ code: 'HostMismatch' })
    expect(served).toEqual([])
  })

  test('takes up what an earlier life had in hand', async () => {
    const rig = await newRig()
    const instance = rig.conductor.newInstance()
    const id = rig.conductor.begin('boot', instance)
    rig.conductor.reached(id, ['image', 'disk'], { owner: 'earlier life' })
    rig.conductor.leg(id).leaseUntil = rig.clock.now() + 1e9
    await started(rig)
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded', power: 'RUNNING' })
    expect(rig.fake.copies(instance)).toBe(1)
  })

  test('says which guests are not as the cloud believes, and nothing of the others', async () => {
    const rig = await newRig()
    await put(rig, 'RUNNING')
    const off = await put(rig, 'SHUTDOWN')
    const gone = rig.conductor.newInstance('RUNNING', 'ACTIVE')
    await started(rig)
    expect(rig.conductor.saidOf('power')[0]).toMatchObject({
      changes: [
        { id: off, power: 'SHUTDOWN' },
        { id: gone, power: 'NOSTATE' },
      ],
    })
  })

  test('leaves alone a guest that the cloud does not know', async () => {
    const rig = await newRig()
    const stranger = await put(rig, 'RUNNING', systemIds.uuid())
    const { stop } = await started(rig)
    await rig.conductor.heard('join', 2)
    await stop()
    expect(rig.fake.copies(stranger)).toBe(1)
    expect(rig.conductor.saidOf('removed')).toEqual([])
  })

  test('ends and removes guests that were deleted or run elsewhere now, and says so before it takes anything up', async () => {
    const rig = await newRig()
    const deleted = await put(rig, 'RUNNING', systemIds.uuid())
    rig.conductor.deleted.add(deleted)
    const moved = await put(rig, 'RUNNING', rig.conductor.newInstance('RUNNING', 'ACTIVE', 'h2'))
    const left = rig.conductor.newInstance('RUNNING', 'ACTIVE', 'h2')
    rig.conductor.residue.add(`h1 ${left}`)
    const own = await put(rig, 'RUNNING')
    await started(rig)
    expect((await rig.fake.list()).map(({ id }) => id)).toEqual([own])
    const [removed] = rig.conductor.saidOf('removed')
    expect([...removed!.instances].sort()).toEqual([deleted, moved, left].sort())
    expect(rig.conductor.residue.size).toBe(0)
  })

  test('a guest that could not be removed is removed by the next comparison', async () => {
    const rig = await newRig()
    const moved = await put(rig, 'RUNNING', rig.conductor.newInstance('RUNNING', 'ACTIVE', 'h2'))
    let failures = 1
    rig.fake.setFaults((action) => (action === 'destroy' && failures-- > 0 ? new Error('busy') : undefined))
    await started(rig)
    expect(rig.fake.copies(moved)).toBe(1)
    await rig.conductor.heard('removed')
    expect(await rig.fake.list()).toEqual([])
  })

  test('a guest is not removed if it has come back since the conductor was asked', async () => {
    const rig = await newRig()
    const moved = await put(rig, 'SHUTDOWN', rig.conductor.newInstance('RUNNING', 'ACTIVE', 'h2'))
    const deps = rig.deps()
    const { join } = deps.computeAgent
    let asked = 0
    deps.computeAgent.join = async (...args) => {
      const answer = await join(...args)
      if (asked++ === 0) {
        rig.conductor.instances.get(moved)!.host = 'h1'
        await rig.fake.start({ ...guest(moved), generation: 3 })
      }
      return answer
    }
    const { bus } = newBus()
    const stop = await startCompute({ ...deps, bus })
    expect(asked).toBe(1)
    expect(rig.fake.copies(moved)).toBe(1)
    await stop()
  })
})

describe('a host at work', () => {
  test('shows the console of its guests', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    const { host } = await started(rig)
    expect((await host.consoleLog(ctx, { instance, lines: 1 })).text).toContain('GUEST-READY')
  })

  test('tells at once that a guest shut itself down or crashed', async () => {
    const rig = await newRig()
    const [one, two] = [await put(rig, 'RUNNING'), await put(rig, 'RUNNING')]
    await started(rig)
    await rig.conductor.heard('power')
    rig.fake.simulate(one, 'shutdown')
    rig.fake.simulate(two, 'crash')
    await rig.conductor.heard('power', 3)
    expect(rig.conductor.instances.get(one)?.power).toBe('SHUTDOWN')
    expect(rig.conductor.instances.get(two)?.power).toBe('CRASHED')
  })

  test('tells again of a change that the conductor did not hear, long before the next full report', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    await started(rig)
    await rig.conductor.heard('power')
    let unresponsive = 3
    rig.conductor.trouble = (method) => (method === 'power' && unresponsive-- > 0 ? away() : undefined)
    const since = rig.clock.now()
    rig.fake.simulate(instance, 'shutdown')
    await rig.conductor.heard('power', 2)
    expect(rig.conductor.instances.get(instance)?.power).toBe('SHUTDOWN')
    expect(rig.clock.now() - since).toBeLessThan(30_000)
  })

  test('tells of a change during an operation when that is over', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    const { host } = await started(rig)
    await rig.conductor.heard('power')
    const stop = rig.stops.at('reboot', 'nothing')
    const id = rig.conductor.begin('reboot', instance)
    await host.run(ctx, { operation: id })
    await stop.reached
    rig.fake.simulate(instance, 'crash')
    expect(rig.conductor.saidOf('power')).toHaveLength(1)
    stop.go()
    await rig.conductor.over(id)
    await rig.conductor.heard('power', 2)
    expect(rig.conductor.saidOf('power')[1]).toMatchObject({ changes: [{ id: instance, power: 'RUNNING' }] })
  })

  test('compares all power states from time to time, save those under an operation', async () => {
    const rig = await newRig()
    const [idle, busy] = [await put(rig, 'RUNNING'), await put(rig, 'RUNNING')]
    const { host } = await started(rig)
    await rig.conductor.heard('power')
    const stop = rig.stops.at('pause', 'nothing')
    await host.run(ctx, { operation: rig.conductor.begin('pause', busy) })
    await stop.reached
    await rig.conductor.heard('power', 2)
    expect(rig.conductor.saidOf('power').at(-1)).toMatchObject({ changes: [{ id: idle, power: 'RUNNING' }] })
    stop.go()
  })

  test('an operation does not begin while its guest is being reported on', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    let finish = () => {}
    const { host, deps } = await started(rig)
    await rig.conductor.heard('power')
    const told = new Promise<void>((resolve) => {
      const power = deps.computeAgent.power
      deps.computeAgent.power = async (...args) => {
        resolve()
        await new Promise<void>((go) => {
          finish = go
        })
        return power(...args)
      }
    })
    rig.fake.simulate(instance, 'shutdown')
    await told
    const id = rig.conductor.begin('start', instance)
    await host.run(ctx, { operation: id })
    expect(rig.stops.actions).toEqual([])
    finish()
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded' })
    expect(rig.conductor.instances.get(instance)?.power).toBe('RUNNING')
  })

  test('renews its leases, hears of a cancel by its heartbeat, and reports its resources now and then', async () => {
    const rig = await newRig()
    const { host } = await started(rig)
    rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await host.run(ctx, { operation: id })
    const lease = rig.conductor.leg(id).leaseUntil
    const reports = rig.conductor.saidOf('report').length
    await rig.conductor.heard('report', reports + 1)
    expect(rig.conductor.leg(id).leaseUntil).toBeGreaterThan(lease)
    expect(rig.conductor.saidOf('heartbeat').length).toBeGreaterThan(2)
    rig.conductor.cancel(id)
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'cancelled', power: 'NOSTATE' })
  })

  test('tells at its next heartbeat that its guests run on another accelerator, and why', async () => {
    const rig = await newRig()
    await started(rig)
    const resources = await rig.fake.resources()
    rig.fake.resources = async () => ({ ...resources, accelerator: 'tcg', acceleratorWhy: 'KVM failed' })
    await rig.conductor.until(() =>
      rig.conductor
        .saidOf('report')
        .some(({ report, acceleratorWhy }) => report.accelerator === 'tcg' && acceleratorWhy === 'KVM failed'),
    )
  })

  test('tells which cgroups bound its guests, where the driver knows', async () => {
    const rig = await newRig()
    const resources = await rig.fake.resources()
    const cgroups = { controllers: ['memory'], why: 'pids: it is not mounted' }
    rig.fake.resources = async () => ({ ...resources, cgroups })
    await started(rig)
    await rig.conductor.until(() => rig.conductor.saidOf('report').some(({ report }) => report.cgroups !== undefined))
    expect(rig.conductor.saidOf('report').at(-1)?.report.cgroups).toEqual(cgroups)
  })

  test('goes on renewing its leases where the driver does not say what the host has', async () => {
    const rig = await newRig()
    await started(rig)
    await rig.conductor.heard('report')
    rig.fake.resources = () => Promise.reject(new Error('the hypervisor is busy'))
    const [beats, reports] = [rig.conductor.saidOf('heartbeat').length, rig.conductor.saidOf('report').length]
    await rig.conductor.heard('heartbeat', beats + 8)
    expect(rig.conductor.saidOf('report')).toHaveLength(reports)
  })

  test('lets go of what its heartbeat says is lost', async () => {
    const rig = await newRig()
    const { host } = await started(rig)
    const stop = rig.stops.at('start')
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    await host.run(ctx, { operation: id })
    await stop.reached
    rig.conductor.row(id).legs = []
    await rig.conductor.heard('hello', 2)
    await rig.conductor.heard('join', 2)
    const beats = rig.conductor.saidOf('heartbeat').length
    await rig.conductor.heard('heartbeat', beats + 2)
    expect(rig.conductor.saidOf('heartbeat').at(-1)).toMatchObject({ operations: [] })
    expect(rig.conductor.saidOf('finish')).toEqual([])
  })

  test('tells how far it is with its heartbeats', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    const { host } = await started(rig)
    const stop = rig.stops.at('importDisk', 'nothing')
    rig.conductor.instances.get(instance)!.host = 'h9'
    await rig.fake.destroy(instance)
    const id = rig.conductor.begin('migrate', instance, { target: 'h1' })
    await host.run(ctx, { operation: id })
    await stop.reached
    stop.go()
    await rig.conductor.until(() => rig.conductor.row(id).results.receive !== undefined)
    const { address, port, secret } = rig.conductor.row(id).results.receive!
    const half = deferred()
    onTestFinished(half.resolve)
    const from = openTransfers(rig.deps())
    const sent = from
      .send(
        { address, port, secret, operation: id },
        {
          sizeBytes: 100,
          lengthBytes: 100,
          async *extents() {
            yield { offset: 0, data: Buffer.alloc(50) }
            await half.promise
          },
          close: async () => undefined,
        },
        () => undefined,
        new AbortController().signal,
      )
      .catch(() => undefined)
    await rig.conductor.until(() => rig.conductor.leg(id)?.progress !== undefined)
    expect(rig.conductor.leg(id).progress).toMatchObject({ what: 'disk', totalBytes: 100 })
    half.resolve()
    await sent
  })

  test('greets again when the link is back, and takes up what came meanwhile', async () => {
    const rig = await newRig()
    const { link } = await started(rig)
    const id = rig.conductor.begin('boot', rig.conductor.newInstance())
    link(false)
    link(true)
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded' })
    expect(rig.conductor.saidOf('hello')).toHaveLength(2)
  })

  test('greets again where the conductor does not know it any more', async () => {
    const rig = await newRig()
    await started(rig)
    let strange = 1
    rig.conductor.trouble = (method) =>
      method === 'heartbeat' && strange-- > 0 ? new Failure('HostNotFound', { id: 'h1' }) : undefined
    await rig.conductor.heard('hello', 2)
  })

  test('dies loudly where its name is given to another machine meanwhile', async () => {
    const rig = await newRig()
    let died: (e: unknown) => void = () => {}
    const death = new Promise((resolve) => {
      died = resolve
    })
    const { link } = await started(rig, { fatal: died })
    rig.conductor.hostIds.set('h1', 'another')
    link(true)
    expect(await death).toMatchObject({ code: 'HostMismatch' })
  })

  test('goes on through a conductor’s absence', async () => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    const { host } = await started(rig)
    let beats = 3
    rig.conductor.trouble = (method) => (method === 'heartbeat' && beats-- > 0 ? away() : undefined)
    const before = rig.conductor.saidOf('heartbeat').length
    await rig.conductor.heard('heartbeat', before + 2)
    const id = rig.conductor.begin('pause', instance)
    await host.run(ctx, { operation: id })
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded' })
    expect(rig.conductor.saidOf('hello')).toHaveLength(1)
  })
})

describe('stopping and starting again', () => {
  const others: readonly OperationKind[] = ['boot', 'unpause', 'resume', 'start', 'migrate', 'delete-image']
  const busy = kindNames.filter((kind) => !others.includes(kind))
  test.each(busy)('during %s costs nothing: the next life ends it', async (kind) => {
    const rig = await newRig()
    const instance = await put(rig, 'RUNNING')
    const first = await started(rig)
    const step = kindOf(kind).steps[0]!.name
    const stop = rig.stops.at(step as 'pause')
    const id = rig.conductor.begin(kind, instance)
    await first.host.run(ctx, { operation: id })
    await stop.reached
    const over = first.stop()
    await over
    stop.go()
    await started(rig)
    expect(await rig.conductor.over(id)).toMatchObject({ state: 'succeeded' })
    expect(rig.fake.copies(instance)).toBeLessThanOrEqual(1)
  })

  test('again and again during fifty boots: each ends as asked, and none runs twice', async () => {
    const rig = await newRig()
    const ids = Array.from({ length: 50 }, () => rig.conductor.begin('boot', rig.conductor.newInstance()))
    let actions = 0
    let enough = () => {}
    // Each life ends in the middle of an action; a killed one does not even say farewell.
    rig.fake.setFaults(() => {
      if (++actions % 17 === 0) enough()
      return undefined
    })
    for (let n = 0; ids.some((id) => rig.conductor.row(id).state !== 'succeeded'); n++) {
      const end = new Promise<void>((resolve) => {
        enough = resolve
      })
      const { stop } = await started(rig)
      await Promise.race([end, Promise.all(ids.map((id) => rig.conductor.over(id)))])
      if (n % 2 === 0)
        rig.conductor.trouble = (method) => (method === 'bye' || method === 'finish' ? away() : undefined)
      await stop()
      rig.conductor.trouble = () => undefined
    }
    expect((await rig.fake.list()).map(({ power }) => power)).toEqual(ids.map(() => 'RUNNING'))
  })
})
