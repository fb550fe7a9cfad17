import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { permits, ruleOfKind } from '../../../src/core/auth/policy.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { conductorManager } from '../../../src/core/conductor/manager.ts'
import { conductor } from '../../../src/core/contracts/conductor.ts'
import type { Decision } from '../../../src/core/contracts/shapes.ts'
import type { Context } from '../../../src/core/model/context.ts'
import { kindNames } from '../../../src/core/model/operation.ts'
import type { Args } from '../../../src/core/rpc/contract.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, Rig } from './rig.ts'

type Conductor = typeof conductor
type Method = keyof Conductor['methods']

/** Two projects with instances on two hosts: one idle, one busy, one that failed, one that is gone. */
type Cloud = {
  rig: Rig
  idle: string
  failed: string
  open: string
  broken: string
  image: string
  /** What only project `red` may know. */
  secrets: string[]
}
const hosts = ['kvm-alpha', 'kvm-beta']
const red: Context = { ...member('red'), userId: 'rosa', requestId: 'req-of-rosa' }
const blue: Context = { ...member('blue'), userId: 'bert' }
const reader: Context = { ...red, roles: ['reader'] }
const nobody: Context = { ...red, roles: [] }
/** An administrator who works in project `red`: its members must not see what is done to hosts there. */
const operator: Context = { ...admin, projectId: 'red', userId: 'olga', requestId: 'req-of-olga' }

async function build(rig: Rig): Promise<Cloud> {
  const [alpha, beta] = [await rig.host('kvm-alpha', { slots: 20 }), await rig.host('kvm-beta', { slots: 20 })]
  rig.clock.advance(1)
  const idle = await rig.running(alpha, 'red-idle', red)
  const busy = await rig.running(alpha, 'red-busy', red)
  const gone = await rig.running(alpha, 'red-gone', red)
  await alpha.carryOut((await rig.conductor.begin(red, { instance: gone, kind: 'delete' })).operation)
  const failed = await rig.running(alpha, 'red-failed', red)
  const { operation: broken } = await rig.conductor.begin(red, { instance: failed, kind: 'pause' })
  await alpha.claim(broken)
  const message =
    'No daemon consumes the queue of compute.kvm-alpha on the bus; on kvm-beta it failed: kvm-alpha is full.'
  const fault = { code: 'HostUnreachable', message, hint: 'See kvm-alpha.', at: rig.clock.now(), host: 'kvm-alpha' }
  await alpha.finish(broken, { power: 'RUNNING', fault })
  const { operation: open } = await rig.conductor.begin(red, { instance: busy, kind: 'stop' })
  await alpha.claim(open)
  await alpha.step(open, 'stop')
  await rig.running(beta, 'blue-idle', blue).catch(() => undefined)
  await rig.conductor.hostAdd(operator, { host: 'kvm-alpha' })
  await rig.conductor.serviceSet(operator, { host: 'kvm-beta', enabled: false, reason: 'kvm-beta gets disks' })
  await rig.conductor.serviceSet(operator, { host: 'kvm-beta', enabled: true })
  rig.queues = [{ name: 'compute.kvm-alpha', messages: 1, consumers: 0 }]
  const { image } = await rig.conductor.imageCreate(red, {
    name: 'red-image',
    diskFormat: 'raw',
    files: { disk: { sizeBytes: 3, sha256: 'b'.repeat(64) } },
  })
  const secrets = [idle, busy, failed, gone, open, broken, 'rosa', 'req-of-rosa']
  return { rig, idle, failed, open, broken, image: image.id, secrets: [...secrets, 'red-idle', 'red-busy', 'red-gone'] }
}

type Row<M extends Method> = {
  /** What is asked, about the things of project `red`. */
  readonly args: (cloud: Cloud) => Args<Conductor, M>
  /** How it ends: for a member of `red`, for one of `blue`, for a reader of `red`. */
  readonly red: string
  readonly blue: string
  readonly reader: string
}
const row = <M extends Method>(args: (cloud: Cloud) => Args<Conductor, M>, ends: [string, string, string]): Row<M> => ({
  args,
  red: ends[0],
  blue: ends[1],
  reader: ends[2],
})
const everybody: [string, string, string] = ['ok', 'ok', 'ok']
const nobodyElse: [string, string, string] = ['Forbidden', 'Forbidden', 'Forbidden']
const ofInstance = (reader: string): [string, string, string] => ['ok', 'InstanceNotFound', reader]
const ofOperation = (reader: string): [string, string, string] => ['ok', 'OperationNotFound', reader]
const made: [string, string, string] = ['ok', 'ok', 'Forbidden']
const missing = '00000000-0000-4000-8000-000000000000'

/** Every message of the contract; one without a row does not compile. */
const rows: { readonly [M in Method]: Row<M> } = {
  instanceList: row(() => ({}), everybody),
  instanceShow: row(({ failed }) => ({ instance: failed }), ofInstance('ok')),
  explain: row(({ idle }) => ({ instance: idle }), ofInstance('ok')),
  operationList: row(() => ({}), everybody),
  operationFind: row(({ broken }) => ({ operation: broken }), ofOperation('ok')),
  operationShow: row(({ broken }) => ({ operation: broken }), ofOperation('ok')),
  eventList: row(() => ({ limit: 1000 }), everybody),
  status: row(() => ({}), everybody),
  ping: row(() => ({}), everybody),
  flavorList: row(() => ({}), everybody),
  flavorShow: row(() => ({ flavor: 'm1.tiny' }), everybody),
  imageList: row(() => ({}), everybody),
  imageShow: row(() => ({ image: 'tiny' }), everybody),
  bootDryRun: row(() => ({ name: 'tried', flavor: 'm1.tiny', image: 'tiny' }), everybody),
  consoleLog: row(({ idle }) => ({ instance: idle, lines: 1 }), ofInstance('Forbidden')),

  boot: row(() => ({ name: 'new', flavor: 'm1.tiny', image: 'tiny' }), made),
  begin: row(({ idle }) => ({ instance: idle, kind: 'pause' }), ofInstance('Forbidden')),
  instanceRename: row(({ idle }) => ({ instance: idle, name: 'renamed' }), ofInstance('Forbidden')),
  operationCancel: row(({ open }) => ({ operation: open }), ofOperation('Forbidden')),
  operationRetry: row(({ broken }) => ({ operation: broken }), ofOperation('Forbidden')),
  imageCreate: row(
    () => ({ name: 'another', diskFormat: 'raw', files: { disk: { sizeBytes: 3, sha256: 'c'.repeat(64) } } }),
    ['ok', 'ok', 'Forbidden'],
  ),
  imageWrite: row(
    ({ image }) => ({ image, part: 'disk', offset: 0, data: Buffer.from('x').toString('base64') }),
    ['ok', 'ImageNotFound', 'Forbidden'],
  ),
  imageDelete: row(({ image }) => ({ image }), ['ok', 'ImageNotFound', 'Forbidden']),
  quotaShow: row(() => ({ project: 'red' }), ['ok', 'Forbidden', 'ok']),
  quotaList: row(() => ({}), nobodyElse),
  quotaSet: row(() => ({ project: 'red', limits: { instances: -1 } }), nobodyElse),

  flavorCreate: row(() => ({ name: 'm1.own', vcpus: 1, memoryMb: 1, diskGb: 1 }), nobodyElse),
  flavorDelete: row(() => ({ flavor: 'm1.tiny' }), nobodyElse),
  serviceList: row(() => ({}), nobodyElse),
  serviceSet: row(() => ({ host: 'kvm-alpha', enabled: false }), nobodyElse),
  hostList: row(() => ({}), nobodyElse),
  hostShow: row(() => ({ host: 'kvm-alpha' }), nobodyElse),
  hostSet: row(() => ({ host: 'kvm-alpha', availabilityZone: 'east' }), nobodyElse),
  hostAcceptCapacity: row(() => ({ host: 'kvm-alpha' }), nobodyElse),
  hostAdd: row(() => ({ host: 'kvm-gamma' }), nobodyElse),
  hostDelete: row(() => ({ host: 'kvm-alpha' }), nobodyElse),
  busStatus: row(() => ({}), nobodyElse),
  busPurge: row(() => ({ queue: 'compute.kvm-alpha' }), nobodyElse),
}
const methods = Object.keys(conductor.methods) as Method[]

describe.each(await databases())('who sees and does what (I13), on $name', (database) => {
  let cloud: Cloud
  beforeAll(async () => {
    cloud = await build(await Rig.open(database))
  }, 60_000)
  afterAll(() => cloud.rig.close())

  /** How a question ended, and all that its asker has read. */
  const ask = async (ctx: Context, method: Method, args: unknown): Promise<{ end: string; read: string }> => {
    const call = cloud.rig.conductor[method] as (ctx: Context, args: unknown) => Promise<unknown>
    try {
      return { end: 'ok', read: JSON.stringify(await call(ctx, args)) }
    } catch (e) {
      if (!isFailure(e)) throw e
      return { end: e.code, read: JSON.stringify([e.message, e.hint, e.params]) }
    }
  }
  /** All rows but those of project `blue`. */
  const written = async (): Promise<string> => {
    const tables = [
      'flavors',
      'images',
      'image_files',
      'hosts',
      'services',
      'instances',
      'operations',
      'events',
    ] as const
    const all = await Promise.all(
      [...tables, 'instance_history' as const, 'decisions' as const].map((table) =>
        cloud.rig.db.selectFrom(table).selectAll().execute(),
      ),
    )
    const ofBlue = all.flat().flatMap((found) => {
      const { id, project_id } = found as { id?: string | number; project_id?: string }
      return project_id === 'blue' && id !== undefined ? [String(id)] : []
    })
    return JSON.stringify(
      all.map((found) => found.filter((one) => !ofBlue.some((id) => Object.values(one).map(String).includes(id)))),
    )
  }
  const leaks = (read: string, secrets: readonly string[], asked: unknown): string[] =>
    secrets.filter((secret) => read.includes(secret) && !JSON.stringify(asked).includes(secret))

  test.each(methods)('%s: a member of another project sees nothing of it and changes nothing of it', async (method) => {
    const args = rows[method].args(cloud)
    const before = await written()
    const { end, read } = await ask(blue, method, args)
    expect(end).toBe(rows[method].blue)
    expect(leaks(read, [...cloud.secrets, ...hosts], args)).toEqual([])
    const after = await written()
    // What `blue` boots takes room on a host.
    if (method !== 'boot') expect(after).toBe(before)
  })

  test.each(methods)('%s: a reader looks and changes nothing', async (method) => {
    const args = rows[method].args(cloud)
    const before = await written()
    const { end, read } = await ask(reader, method, args)
    expect(end).toBe(rows[method].reader)
    expect(leaks(read, hosts, args)).toEqual([])
    expect(await written()).toBe(before)
  })

  test.each(methods)('%s: somebody without a role does nothing', async (method) => {
    const before = await written()
    expect((await ask(nobody, method, rows[method].args(cloud))).end).toBe(method === 'ping' ? 'ok' : 'Forbidden')
    expect(await written()).toBe(before)
  })

  test('no kind of operation is begun by a reader, or on what is of another project', async () => {
    for (const kind of kindNames) {
      const args = { instance: cloud.idle, kind }
      expect([kind, (await ask(reader, 'begin', args)).end]).toEqual([kind, 'Forbidden'])
      const own = permits(blue, ruleOfKind(kind)) ? 'InstanceNotFound' : 'Forbidden'
      expect([kind, (await ask(blue, 'begin', args)).end]).toEqual([kind, own])
    }
  })

  test('lists and counts are of the own project, by filters and markers too', async () => {
    const { rig, idle, open } = cloud
    const status = await rig.conductor.status(red, {})
    expect(status).toMatchObject({
      services: [],
      daemons: { compute: { up: 2, degraded: 0, down: 0 } },
      hosts: { up: 2, down: 0 },
      instances: { ACTIVE: 3 },
      operations: { failed: 1, running: 1 },
    })
    expect(
      Object.values((await rig.conductor.status(admin, {})).instances).reduce((sum, n) => sum + n),
    ).toBeGreaterThan(3)
    for (const [method, args, code] of [
      ['instanceList', { allProjects: true }, 'Forbidden'],
      ['instanceList', { host: 'kvm-alpha' }, 'Forbidden'],
      ['instanceList', { marker: idle }, 'InvalidRequest'],
      ['operationList', { marker: open }, 'InvalidRequest'],
      ['operationList', { instance: 'red-idle' }, 'InstanceNotFound'],
      ['boot', { name: 'x', image: 'tiny', flavor: 'm1.tiny', availabilityZone: 'nova:kvm-alpha' }, 'Forbidden'],
      ['boot', { name: 'x', image: 'tiny', flavor: 'm1.tiny', hints: { same_host: idle } }, 'InstanceNotFound'],
      ['consoleLog', { instance: missing }, 'InstanceNotFound'],
    ] as const)
      expect([method, (await ask(blue, method, args)).end]).toEqual([method, code])
    for (const args of [{ instance: idle }, { instance: idle, after: 0 }])
      expect(await rig.conductor.eventList(blue, args)).toEqual({ events: [] })
    expect(await rig.conductor.instanceList(blue, { ids: [idle] })).toEqual({ instances: [] })
    expect((await rig.conductor.instanceList(blue, { deleted: true })).instances).toEqual([])
    expect((await rig.conductor.instanceList(red, { deleted: true })).instances).toMatchObject([{ name: 'red-gone' }])
  })

  test('administrators see where things are and what is done to hosts', async () => {
    const { rig, idle, failed } = cloud
    expect(await rig.conductor.instanceShow(admin, { instance: idle })).toMatchObject({ host: 'kvm-alpha' })
    expect((await rig.conductor.instanceShow(admin, { instance: failed })).host).toBe('kvm-alpha')
    const { events } = await rig.conductor.eventList(admin, { limit: 1000 })
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['host.add', 'service.disable']))
    const seen = (await rig.conductor.eventList(red, { limit: 1000 })).events.map(({ type }) => type)
    expect(seen.filter((type) => !type.startsWith('instance.'))).toEqual([])
    expect(seen).toContain('instance.pause.error')
  })

  test('a fault is told to a member without the hosts that it names', async () => {
    const { fault } = await cloud.rig.conductor.operationShow(red, { operation: cloud.broken })
    expect(fault).toMatchObject({
      message: 'No daemon consumes the queue of its host on the bus; on its host it failed: its host is full.',
      hint: 'Is the daemon running? nova service list. Start one: nova up; on several machines: nova daemon --help',
    })
    cloud.rig.listens.clear()
    const heard = await ask(red, 'begin', { instance: cloud.idle, kind: 'suspend' })
    for (const name of [...hosts, 'scheduler']) cloud.rig.listens.add(name)
    expect(heard).toMatchObject({
      end: 'HostUnreachable',
      read: expect.stringContaining('No daemon consumes the queue of its host'),
    })
  })

  test('a placement is explained to a member by counts and reasons', async () => {
    const decision = {
      at: 1,
      summary: '2 hosts: 2 with too little memory (most: 128 of 512 MiB free)',
      filters: ['ram'],
      weighers: ['spread'],
      hosts: hosts.map((host) => ({ host, passed: false, filter: 'ram', reason: '128 of 512 MiB free' })),
    }
    const chosen = {
      ...decision,
      chosen: 'kvm-alpha',
      summary: 'kvm-alpha: the heaviest',
      hosts: hosts.map((host) => ({ host, passed: true, weight: 1 })),
    }
    const dryRun = async (answer: Decision) => {
      const scheduler = { ...cloud.rig.deps.scheduler, decide: async () => answer }
      const wanted = { name: 'web', flavor: 'm1.tiny', image: 'tiny' }
      return (await conductorManager({ ...cloud.rig.deps, scheduler }).bootDryRun(red, wanted)).decision
    }
    expect(await dryRun(decision)).toEqual({
      ...decision,
      placed: false,
      summary: '2 hosts: 2 with too little memory',
      hosts: [],
      counts: { hosts: 2, passed: 0, refused: [{ filter: 'ram', group: 'refused by ram', hosts: 2 }] },
    })
    const { chosen: _, ...told } = chosen
    expect(await dryRun(chosen)).toEqual({
      ...told,
      placed: true,
      summary: 'one of the 2 that can, of 2 in all',
      hosts: [],
      counts: { hosts: 2, passed: 2, refused: [] },
    })
  })

  // Last, because members change what is theirs.
  test.each(Object.keys(rows) as Method[])(
    '%s: a member does with its own what it may, and reads of no host',
    async (method) => {
      const args = rows[method].args(cloud)
      const { end, read } = await ask(red, method, args)
      expect(end).toBe(rows[method].red)
      // What the console says is the guest's.
      if (method !== 'consoleLog') expect(leaks(read, hosts, args)).toEqual([])
    },
  )
})
