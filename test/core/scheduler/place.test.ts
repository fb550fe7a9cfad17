import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { Failure } from '../../../src/core/base/errors.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { scheduler } from '../../../src/core/contracts/scheduler.ts'
import { Decision, Published } from '../../../src/core/contracts/shapes.ts'
import { syncDatabase } from '../../../src/core/db/migrate.ts'
import { type Db, openDatabase } from '../../../src/core/db/open.ts'
import type { Api } from '../../../src/core/rpc/contract.ts'
import type { SchedulerDeps } from '../../../src/core/scheduler/deps.ts'
import { schedulerManager } from '../../../src/core/scheduler/manager.ts'
import { allocationsOf, capacityDrift } from '../../../src/core/store/allocations.ts'
import { decisionOn } from '../../../src/core/store/decisions.ts'
import { legsOfOperation, placeLeg } from '../../../src/core/store/legs.ts'
import { changeOperation, closeOperation, openOperation } from '../../../src/core/store/operations.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'
import { addBoots, addHost, addMigration, context, empty, type Placed, rig } from './rig.ts'
import { spec, now as then } from './samples.ts'

const found = await databases()

describe.each(found)('placing on $name', ({ open }) => {
  let database: TestDatabase
  let db: Db
  /** The same database as another process has it open. */
  let second: Db
  beforeAll(async () => {
    database = await open()
    db = database.db
    await syncDatabase(db)
    second = await openDatabase(database.url, { log: silentLog, clock: systemClock })
  })
  afterAll(async () => {
    await second.destroy()
    await database.drop()
  })
  beforeEach(() => empty(db))

  const placeAll = (managers: Api<typeof scheduler>[], boots: Placed[]) =>
    Promise.all(
      boots.map(({ operation }, i) =>
        (managers[i % managers.length] as (typeof managers)[0]).place(context, { operation }),
      ),
    )
  const instance = (boot: Placed) =>
    db.selectFrom('instances').selectAll().where('id', '=', boot.instance).executeTakeFirstOrThrow()
  const operation = (boot: Placed) =>
    db.selectFrom('operations').selectAll().where('id', '=', boot.operation).executeTakeFirstOrThrow()
  const legs = (boot: Placed) => legsOfOperation(db, boot.operation)
  /** What waits at a host, and what waits for a scheduler. */
  const waitsAt = async (boot: Placed, host: string) =>
    expect(await legs(boot)).toMatchObject([{ service: 'compute', host, state: 'queued', attempt: 0 }])
  const unplaced = async (boot: Placed) =>
    expect(await legs(boot)).toMatchObject([{ service: 'scheduler', host: '', role: 'scheduler', state: 'queued' }])
  const isOver = async (boot: Placed, state: string) => {
    expect(await operation(boot)).toMatchObject({ state })
    expect(await legs(boot)).toEqual([])
    expect(await openOperation(db, boot.instance)).toBeUndefined()
  }
  const decision = async (boot: Placed) => Decision.parse(await decisionOn(db, boot.instance))
  const refusals = (...rigs: ReturnType<typeof rig>[]) =>
    rigs.flatMap(({ published }) => published).filter(({ key }) => key.startsWith('instance.create.error.'))
  const one = async (but?: Parameters<typeof addBoots>[2]) => (await addBoots(db, 1, but))[0] as Placed

  test('an instance comes to the best host: room is claimed, the decision kept, the host told', async () => {
    await addHost(db, 'small', { slots: 2 })
    await addHost(db, 'large', { slots: 8 })
    const { deps, reported, published } = rig(db)
    const boot = await one()
    await schedulerManager(deps).place(context, { operation: boot.operation })
    expect(reported).toEqual([{ host: 'large', operation: boot.operation }])
    expect(published.map(({ body }) => Published.parse(body))).toMatchObject([
      { id: 0, type: 'operation.step', host: 'large', operation: { state: 'queued', step: 'place' } },
    ])
    expect(await instance(boot)).toMatchObject({ host: 'large', generation: 1, state: 'BUILD' })
    await waitsAt(boot, 'large')
    expect((await legs(boot))[0]).toMatchObject({ role: 'host', steps: [{ name: 'place', host: 'large', attempt: 1 }] })
    expect(await allocationsOf(db, boot.instance)).toMatchObject([{ host: 'large', role: 'current' }])
    expect(await decision(boot)).toMatchObject({
      chosen: 'large',
      summary: 'large: the heaviest (weight 3) of 2 that can, of 2 hosts',
    })
    expect(await capacityDrift(db)).toEqual([])
  })

  test('two schedulers fill exactly as many slots as there are, and the next boot is told why not, for every host', async () => {
    for (let i = 0; i < 20; i++) await addHost(db, `h${i}`, { slots: 10 })
    const boots = await addBoots(db, 200)
    const [a, b] = [rig(db), rig(second)]
    await placeAll([schedulerManager(a.deps), schedulerManager(b.deps)], boots)
    expect(refusals(a, b)).toEqual([])
    expect(new Set([...a.reported, ...b.reported].map((t) => t.operation)).size).toBe(200)
    const hosts = await db.selectFrom('hosts').select(['instances', 'used_memory_mb']).execute()
    expect(hosts.every((h) => h.instances === 10 && h.used_memory_mb === 10_240)).toBe(true)
    expect(await capacityDrift(db)).toEqual([])

    const late = await one()
    await schedulerManager(a.deps).place(context, { operation: late.operation })
    const { hosts: verdicts, chosen } = await decision(late)
    expect(chosen).toBeUndefined()
    expect(verdicts).toHaveLength(20)
    for (const v of verdicts)
      expect(v).toMatchObject({ passed: false, reason: 'wants 1024 MiB of memory, 0 MiB left of 10240' })
    await isOver(late, 'failed')
  })

  test('more boots than slots: exactly as many get one as there are', async () => {
    for (let i = 0; i < 5; i++) await addHost(db, `h${i}`, { slots: 5 })
    const boots = await addBoots(db, 40)
    const [a, b] = [rig(db), rig(second)]
    await placeAll([schedulerManager(a.deps), schedulerManager(b.deps)], boots)
    expect(a.reported.length + b.reported.length).toBe(25)
    expect(refusals(a, b)).toHaveLength(15)
    const states = await db.selectFrom('instances').select(['state', 'host']).execute()
    expect(states.filter((s) => s.state === 'ERROR' && s.host === null)).toHaveLength(15)
    expect(await capacityDrift(db)).toEqual([])
  })

  test('boots that arrive together spread evenly', async () => {
    for (let i = 0; i < 10; i++) await addHost(db, `h${i}`, { slots: 50 })
    const { deps } = rig(db)
    await placeAll([schedulerManager(deps)], await addBoots(db, 60))
    const hosts = await db.selectFrom('hosts').select('instances').execute()
    const counts = hosts.map((h) => h.instances)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2)
  })

  test('duplicates, side by side and later, change nothing', async () => {
    for (const name of ['h1', 'h2', 'h3']) await addHost(db, name)
    const [a, b] = [rig(db), rig(second)]
    const managers = [schedulerManager(a.deps), schedulerManager(b.deps)]
    const boot = await one()
    await placeAll(managers, Array(8).fill(boot))
    await placeAll(managers, [boot, boot])
    expect([...a.reported, ...b.reported]).toHaveLength(1)
    expect(await instance(boot)).toMatchObject({ generation: 1 })
    expect(await capacityDrift(db)).toEqual([])
  })

  const close = (id: string) =>
    closeOperation(db, id, {
      state: 'cancelled',
      fault: undefined,
      now: then,
      steps: [],
      step: undefined,
      host: undefined,
      attempt: 0,
    })
  test.each<[string, (boot: Placed) => Promise<unknown>]>([
    ['was cancelled', ({ operation }) => close(operation)],
    ['is being undone', ({ operation }) => changeOperation(db, operation, { undoing: true })],
    [
      'is at a host already',
      ({ operation }) => {
        const step = { name: 'place', at: then, attempt: 1, host: 'h1' }
        return placeLeg(db, operation, { service: 'compute', host: 'h1', role: 'host', step, now: then })
      },
    ],
  ])('an operation that %s is not placed', async (_, change) => {
    await addHost(db, 'h1')
    const boot = await one()
    await change(boot)
    const { deps, reported, published } = rig(db)
    await schedulerManager(deps).place(context, { operation: boot.operation })
    expect([reported, published, await decisionOn(db, boot.instance)]).toEqual([[], [], undefined])
  })

  test('an operation that nobody knows is not placed', async () => {
    const { deps, reported } = rig(db)
    await schedulerManager(deps).place(context, { operation: deps.ids.uuid() })
    expect(reported).toEqual([])
  })

  test('a host that is silent on the bus gives its room back, and the next one gets the instance', async () => {
    await addHost(db, 'dead', { slots: 50 })
    await addHost(db, 'alive')
    const { deps, reported } = rig(db, { silent: ['dead'] })
    const boot = await one()
    await schedulerManager(deps).place(context, { operation: boot.operation })
    expect(reported).toEqual([{ host: 'alive', operation: boot.operation }])
    expect((await decision(boot)).hosts[0]).toMatchObject({
      host: 'dead',
      passed: false,
      reason: 'unreachable: up by its last report, but no consumer on the bus',
    })
    expect(await capacityDrift(db)).toEqual([])
  })

  test('where all hosts that could take it are silent it stays queued, and is placed when sent again', async () => {
    await addHost(db, 'h1')
    await addHost(db, 'h2')
    await addHost(db, 'tiny', { slots: 0 })
    const { deps, reported, published, silent } = rig(db, { silent: ['h1', 'h2'] })
    const manager = schedulerManager(deps)
    const boot = await one()
    await manager.place(context, { operation: boot.operation })
    expect([reported, published]).toEqual([[], []])
    await unplaced(boot)
    expect((await decision(boot)).summary).toBe(
      '3 hosts: 2 unreachable on the bus, 1 with too little memory (most: 0 of 1024 MiB free)',
    )
    expect(await capacityDrift(db)).toEqual([])
    silent.clear()
    await manager.place(context, { operation: boot.operation })
    expect(reported).toHaveLength(1)
  })

  test('where the bus fails otherwise the room stays claimed: the host may have been told', async () => {
    await addHost(db, 'h1')
    const { deps } = rig(db)
    const lost: SchedulerDeps['computeOn'] = () => ({
      run: () => Promise.reject(new Failure('BusDown', { url: 'amqp://x', why: 'it went away' })),
    })
    const boot = await one()
    await schedulerManager({ ...deps, computeOn: lost }).place(context, { operation: boot.operation })
    expect(await instance(boot)).toMatchObject({ host: 'h1' })
    await waitsAt(boot, 'h1')
  })

  test('after an outage of all conductors a host that was not heard meanwhile is waited for, and not for ever', async () => {
    await addHost(db, 'old', { seenAt: then })
    const { deps } = rig(db)
    const now = deps.clock.now()
    const conductor = {
      id: 'conductor@c',
      binary: 'conductor',
      host: 'c',
      version: '1',
      incarnation: 'x',
      disabled: 0,
      disabled_reason: null,
    }
    await db
      .insertInto('services')
      .values({ ...conductor, seen_at: now, started_at: now - 1000 })
      .execute()
    const boot = await one()
    await schedulerManager(deps).place(context, { operation: boot.operation })
    await unplaced(boot)
    expect((await decision(boot)).hosts).toMatchObject([{ host: 'old', passed: false, filter: 'compute-up' }])

    await db
      .updateTable('services')
      .set({ started_at: now - 3_600_000 })
      .where('id', '=', conductor.id)
      .execute()
    await schedulerManager(deps).place(context, { operation: boot.operation })
    expect(await operation(boot)).toMatchObject({ state: 'failed' })
  })

  test.each([
    ['down', { seenAt: then }],
    ['degraded', { silentMs: 60_000 }],
  ])('after an outage of the bus or the database a host that counts as %s is waited for', async (_, seen) => {
    await addHost(db, 'h1', seen)
    const { deps } = rig(db)
    const boot = await one()
    const hearing = { ...deps.hearing, since: () => deps.clock.now() - 1000 }
    await schedulerManager({ ...deps, hearing }).place(context, { operation: boot.operation })
    await unplaced(boot)
    await schedulerManager(deps).place(context, { operation: boot.operation })
    expect(await operation(boot)).toMatchObject({ state: 'failed' })
  })

  test('no valid host: the operation fails, the instance rests in ERROR, the event goes out', async () => {
    await addHost(db, 'off', { disabled: true })
    await addHost(db, 'old', { seenAt: then })
    await addHost(db, 'west', { zone: 'west' })
    const { deps, published } = rig(db)
    const boot = await one({ zone: 'east' })
    await schedulerManager(deps).place(context, { operation: boot.operation })
    const message = 'No valid host was found: 3 hosts: 1 disabled, 1 down, 1 in another zone than east'
    const { state, fault } = await instance(boot)
    expect(state).toBe('ERROR')
    expect(JSON.parse(fault as string)).toMatchObject({
      code: 'NoValidHost',
      message,
      hint: 'The reason for each host: nova explain web-0',
    })
    expect(published).toMatchObject([
      {
        key: `instance.create.error.${boot.instance}.${boot.operation}`,
        body: {
          type: 'instance.create.error',
          message,
          status: 'ERROR',
          operation: { state: 'failed', step: 'place' },
        },
      },
    ])
    expect(Published.parse(published[0]?.body).id).toBeGreaterThan(0)
    await isOver(boot, 'failed')
    expect(await operation(boot)).toMatchObject({ step: 'place' })
    expect((await decision(boot)).hosts).toHaveLength(3)
  })

  test('without any host it says what to start', async () => {
    const boot = await one()
    await schedulerManager(rig(db).deps).place(context, { operation: boot.operation })
    expect((await instance(boot)).fault).toContain('start one with nova daemon compute')
  })

  test('a boot that failed on every host says what happened there', async () => {
    await addHost(db, 'h1')
    const boot = await one({ excluded: ['h1'] })
    await schedulerManager(rig(db).deps).place(context, { operation: boot.operation })
    expect((await instance(boot)).fault).toContain(
      '1 host: 1 where it failed in an earlier attempt, or is now; on h1 it failed: The disk broke.',
    )
  })

  test('zone, forced host and hints are obeyed', async () => {
    await addHost(db, 'east-1', { zone: 'east' })
    await addHost(db, 'east-2', { zone: 'east' })
    await addHost(db, 'west-1', { zone: 'west', slots: 50 })
    const { deps } = rig(db)
    const manager = schedulerManager(deps)
    const placed = async (but: Parameters<typeof addBoots>[2]) => {
      const boot = await one(but)
      await manager.place(context, { operation: boot.operation })
      return { id: boot.instance, host: (await instance(boot)).host }
    }
    expect((await placed({})).host).toBe('west-1')
    expect((await placed({ zone: 'east' })).host).toMatch(/^east/)
    const forced = await placed({ forcedHost: 'east-2' })
    expect(forced.host).toBe('east-2')
    expect((await placed({ hints: { same_host: forced.id } })).host).toBe('east-2')
    expect((await placed({ zone: 'east', hints: { different_host: forced.id } })).host).toBe('east-1')
  })

  test('a migration goes to another host than its own, which keeps its room until the end', async () => {
    await addHost(db, 'own', { slots: 50 })
    await addHost(db, 'other', { slots: 2 })
    const { deps, reported } = rig(db)
    const migration = await addMigration(db, 'own')
    await schedulerManager(deps).place(context, { operation: migration.operation })
    expect(reported).toEqual([{ host: 'other', operation: migration.operation }])
    await waitsAt(migration, 'other')
    expect((await legs(migration))[0]).toMatchObject({ role: 'target' })
    expect(await instance(migration)).toMatchObject({ host: 'own', generation: 1, state: 'ACTIVE' })
    expect((await allocationsOf(db, migration.instance)).map(({ host, role }) => [host, role]).sort()).toEqual([
      ['other', 'target'],
      ['own', 'current'],
    ])
    expect(await capacityDrift(db)).toEqual([])
  })

  test('a migration fails where only its own host, or an older one, could take it, and the instance stays', async () => {
    await addHost(db, 'own', { slots: 50 })
    await addHost(db, 'older', { slots: 50, speaks: '2.0' })
    const { deps, reported } = rig(db)
    const migration = await addMigration(db, 'own')
    await schedulerManager(deps).place(context, { operation: migration.operation })
    expect(reported).toEqual([])
    await isOver(migration, 'failed')
    const { host, state, fault } = await instance(migration)
    expect([host, state]).toEqual(['own', 'ACTIVE'])
    expect(JSON.parse(fault as string)).toMatchObject({
      code: 'NoValidHost',
      message: expect.stringContaining('1 where it failed in an earlier attempt, or is now'),
    })
    expect((await decision(migration)).hosts).toContainEqual(
      expect.objectContaining({ host: 'older', filter: 'knows-kind', passed: false }),
    )
    expect((await allocationsOf(db, migration.instance)).map(({ host }) => host)).toEqual(['own'])
    // The same host takes a boot.
    const boot = await one({ forcedHost: 'older' })
    await schedulerManager(deps).place(context, { operation: boot.operation })
    await waitsAt(boot, 'older')
  })

  test('a migration to a host that an administrator named goes there or nowhere', async () => {
    for (const name of ['own', 'a', 'b']) await addHost(db, name)
    const { deps } = rig(db)
    const manager = schedulerManager(deps)
    const there = await addMigration(db, 'own', { forcedHost: 'b' })
    const nowhere = await addMigration(db, 'own', { forcedHost: 'own' })
    await placeAll([manager], [there, nowhere])
    await waitsAt(there, 'b')
    await isOver(nowhere, 'failed')
  })

  test('a host that was disabled just before is not chosen', async () => {
    await addHost(db, 'h1', { slots: 50 })
    await addHost(db, 'h2')
    const { deps, reported } = rig(db)
    const manager = schedulerManager(deps)
    await placeAll([manager], [await one()])
    await second.updateTable('services').set({ disabled: 1 }).where('host', '=', 'h1').execute()
    await placeAll([manager], [await one()])
    expect(reported.map((t) => t.host)).toEqual(['h1', 'h2'])
  })

  test('a claim that fails half way changes nothing, and may be repeated', async () => {
    await addHost(db, 'h1', { slots: 1 })
    const { deps, reported } = rig(db)
    const manager = schedulerManager(deps)
    const boot = await one()
    await db.schema.alterTable('decisions').renameTo('elsewhere').execute()
    await expect(manager.place(context, { operation: boot.operation })).rejects.toThrow('decisions')
    await db.schema.alterTable('elsewhere').renameTo('decisions').execute()
    await unplaced(boot)
    expect([reported, await capacityDrift(db)]).toEqual([[], []])
    await manager.place(context, { operation: boot.operation })
    expect(reported).toHaveLength(1)
  })

  test('deciding writes nothing', async () => {
    await addHost(db, 'h1')
    await addHost(db, 'h2', { disabled: true })
    const { deps, reported, published } = rig(db)
    const snapshot = async () => [
      await db.selectFrom('hosts').selectAll().execute(),
      await db.selectFrom('decisions').selectAll().execute(),
      await db.selectFrom('events').selectAll().execute(),
    ]
    const before = await snapshot()
    const manager = schedulerManager(deps)
    const size = { vcpus: 1, memoryMb: 1024, diskGb: 1 }
    expect(Decision.parse(await manager.decide(context, spec({ size })))).toMatchObject({
      chosen: 'h1',
      summary: 'h1: the only one of 2 hosts that can',
    })
    expect(await manager.decide(context, spec({ size, forcedHost: 'h2' }))).toMatchObject({
      summary: '2 hosts: 1 other than h2, the host asked for, 1 disabled',
    })
    expect([await snapshot(), reported, published]).toEqual([before, [], []])
    expect(await manager.ping(context, {})).toEqual({ version: '1.2.3' })
  })
})
