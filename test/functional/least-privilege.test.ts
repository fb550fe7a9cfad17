import { join, resolve } from 'node:path'
import { type ConfirmChannel, connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isFailure } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { agent } from '../../src/core/contracts/agent.ts'
import { compute } from '../../src/core/contracts/compute.ts'
import { computeAgent } from '../../src/core/contracts/compute-agent.ts'
import type { Event } from '../../src/core/contracts/shapes.ts'
import { type Context, serviceContext } from '../../src/core/model/context.ts'
import { served } from '../../src/core/rpc/bus.ts'
import type { Args, Contract } from '../../src/core/rpc/contract.ts'
import { join as joinBus } from '../core/rpc/kit.ts'
import { admin, Cloud, type Daemon } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'
import { freePort, type PrivateRabbit, privateRabbit } from '../kit/private-rabbitmq.ts'

const rabbit = await privateRabbit({ management: true })
afterAll(() => rabbit?.stop())

type Opening = () => Promise<Cloud>
const embedded: Opening = async () => {
  const cloud = await Cloud.open('embedded', {
    NOVA_BROKER_LISTEN: `127.0.0.1:${await freePort()}`,
    NOVA_COMPUTE_DRIVER: 'fake',
  })
  await cloud.daemon('broker')
  return cloud
}
const onRabbit = (node: PrivateRabbit): Opening => {
  return () =>
    Cloud.open('embedded', {
      NOVA_BUS_URL: node.url,
      NOVA_BUS_MANAGEMENT_URL: node.managementUrl,
      NOVA_COMPUTE_DRIVER: 'fake',
    })
}
const clouds: Array<[string, Opening]> = [
  ['the embedded broker', embedded],
  ...(rabbit ? [['RabbitMQ', onRabbit(rabbit)] as [string, Opening]] : []),
]

type Login = { host: string; user: string; password: string; url: string; known: boolean }
/** What host b has: an instance, an operation on it that nobody has claimed yet, and the image that it was made of. */
type Booty = { instance: string; operation: string; image: string }

/** Any file will do for a disk that nobody boots. */
const program = resolve(import.meta.dirname, '../../bin/run.js')

const life = { incarnation: 'a-stolen-life' }
const asB = { service: 'compute', host: 'b', ...life } as const
const asA = { ...asB, host: 'a' } as const
const computeAsA = { host: 'a', ...life }

type Thefts<C extends Contract> = { readonly [M in keyof C['methods']]: (booty: Booty) => Args<C, M> }
/** For each message of any service of a host: how a thief with host a's login would speak of what is b's. */
const thefts: Thefts<typeof agent> = {
  hello: () => ({ ...asB, hostId: 'thief', version: '1' }),
  heartbeat: ({ operation }) => ({ ...asA, operations: [{ id: operation }] }),
  claim: ({ operation }) => ({ ...asA, operation }),
  step: ({ operation }) => ({ ...asA, operation, step: 'pause', attempt: 1 }),
  finish: ({ operation }) => ({ ...asA, operation, power: 'SHUTDOWN' }),
  bye: () => asB,
}
const report = {
  driver: 'fake',
  hypervisor: 'fake',
  hypervisorVersion: '1',
  accelerator: 'none',
  total: { vcpus: 1000, memoryMb: 1_000_000, diskGb: 1000 },
}
/** The same of what only compute hosts say. */
const computeThefts: Thefts<typeof computeAgent> = {
  join: () => ({ host: 'b', ...life, hostId: 'thief', availabilityZone: 'nova', report, guests: [] }),
  report: () => ({ host: 'b', ...life, report }),
  removed: ({ instance }) => ({ host: 'b', ...life, instances: [instance] }),
  power: ({ instance }) => ({ ...computeAsA, changes: [{ id: instance, power: 'SHUTDOWN' }] }),
  imageRead: ({ image }) => ({ image, part: 'disk', offset: 0, length: 16 }),
}
type Theft = { method: string; topic: string; args: (booty: Booty) => object }
const all: readonly Theft[] = [
  ...Object.entries(thefts).map(([method, args]) => ({ method, topic: agent.topic, args })),
  ...Object.entries(computeThefts).map(([method, args]) => ({ method, topic: computeAgent.topic, args })),
]

const own = (name: string, options = {}) => [name, { durable: false, autoDelete: true, ...options }] as const
const reply = (host: string, digit = '0') => `reply_host.${host}.${digit.repeat(32)}`

const answers = `reply_${'0'.repeat(32)}`

/** Binds a queue of the login's own; that of its daemon belongs to the daemon's connection. */
const bindOwn = (exchange: string, key: string) => async (ch: ConfirmChannel) => {
  const [mine, options] = own(reply('a', '2'))
  await ch.assertQueue(mine, options)
  await ch.bindQueue(mine, exchange, key)
}

/** What the broker itself refuses to host a's login. */
const breaks: Array<[string, (channel: ConfirmChannel) => unknown]> = [
  ['listen on the queue of host b', (ch) => ch.consume('compute.b', () => undefined)],
  ['take a message from it', (ch) => ch.get('compute.b')],
  ['empty it', (ch) => ch.purgeQueue('compute.b')],
  ['delete it', (ch) => ch.deleteQueue('compute.b')],
  ['declare it', (ch) => ch.assertQueue(...own('compute.b'))],
  ['declare a queue of a host whose name begins like its own', (ch) => ch.assertQueue(...own('compute.a.b'))],
  ['unbind it', (ch) => ch.unbindQueue('compute.b', 'nova', 'compute.b')],
  ['listen on the queue of the conductors', (ch) => ch.consume('conductor', () => undefined)],
  ['listen on the queue of all hosts’ messages', (ch) => ch.consume('agent', () => undefined)],
  ['listen on the queue of all compute hosts’ messages', (ch) => ch.consume('compute_agent', () => undefined)],
  ['empty the queue of the schedulers', (ch) => ch.purgeQueue('scheduler')],
  ['listen on the answers to somebody', (ch) => ch.consume(answers, () => undefined)],
  ['delete the answers to somebody', (ch) => ch.deleteQueue(answers)],
  ['hear all messages', bindOwn('nova', '#')],
  ['hear what is for host b', bindOwn('nova', 'compute.b')],
  ['hear what is for the conductors', bindOwn('nova', 'conductor')],
  ['hear what hosts say', bindOwn('nova_hosts', 'agent')],
  ['hear what compute hosts say', bindOwn('nova_hosts', 'compute_agent')],
  ['hear all that hosts say', bindOwn('nova_hosts', '#')],
  ['hear events', bindOwn('nova_events', '#')],
  ['reach any queue by the default exchange', (ch) => ch.publish('', 'compute.b', Buffer.from('x'))],
  ['speak to the conductors', (ch) => ch.publish('nova', 'conductor', Buffer.from('x'))],
  ['speak to host b', (ch) => ch.publish('nova', 'compute.b', Buffer.from('x'))],
  ['speak to host b by the hosts’ exchange', (ch) => ch.publish('nova_hosts', 'compute.b', Buffer.from('x'))],
  ['tell events', (ch) => ch.publish('nova_events', 'x', Buffer.from('x'))],
  ['delete the exchange', (ch) => ch.deleteExchange('nova')],
  ['declare an exchange', (ch) => ch.assertExchange('mine', 'fanout')],
  [
    'send dead letters to the conductors',
    (ch) => ch.assertQueue(...own(reply('a'), { deadLetterExchange: 'nova', deadLetterRoutingKey: 'conductor' })),
  ],
  [
    'send on what an exchange of its own gets',
    async (ch) => {
      await ch.assertExchange(reply('a'), 'fanout', { durable: false, autoDelete: true })
      await ch.bindExchange('nova', reply('a'), '')
    },
  ],
  [
    'have an alternate exchange',
    (ch) => ch.assertExchange(reply('a', '1'), 'fanout', { durable: false, alternateExchange: 'nova' }),
  ],
]

describe.each(clouds)('a host with a login of its own (%s)', (_name, open) => {
  let cloud: Cloud
  const logins: Record<string, Login> = {}
  const daemons: Record<string, Daemon> = {}

  const startHost = (host: string) =>
    cloud.daemon('compute', {
      // A machine of its own: it has nothing but what was printed for it.
      NOVA_STATE_DIR: join(cloud.stateDir, `machine-${host}`),
      NOVA_BUS_URL: logins[host]!.url,
      NOVA_BUS_MANAGEMENT_URL: '',
      NOVA_DATABASE_URL: '',
      NOVA_BROKER_LISTEN: '',
      NOVA_COMPUTE_HOST: host,
    })
  /** A thief with the login of a host: says any message on either topic. */
  const as = async (host: string) => {
    const stolen = await joinBus(logins[host]!.url)
    const clients: Record<string, unknown> = {
      [agent.topic]: stolen.client(agent),
      [computeAgent.topic]: stolen.client(computeAgent),
    }
    const say = ({ topic, method }: Theft, args: object): Promise<unknown> => {
      const client = clients[topic] as Record<string, (ctx: Context, args: object) => Promise<unknown>>
      return client[method]!(serviceContext('compute', systemIds.requestId()), args)
    }
    return { say, close: () => stolen.close() }
  }
  const refusals = async () =>
    (await cloud.json<Event[]>('event', 'list')).filter(({ type }) => type === 'audit.refused')

  beforeAll(async () => {
    cloud = await open()
    for (const name of ['conductor', 'scheduler']) await cloud.daemon(name)
    for (const host of ['a', 'b']) {
      logins[host] = await cloud.json<Login>('host', 'add', host)
      daemons[host] = await startHost(host)
      const made = await cloud.nova(
        'image',
        'create',
        `for-${host}`,
        '--disk',
        host === 'a' ? import.meta.filename : program,
        '--disk-format',
        'raw',
      )
      expect(made).toMatchObject({ code: 0 })
    }
  })
  afterAll(() => cloud?.close())

  test('boots, shows its console, pauses and deletes with just what host add prints', async () => {
    for (const host of ['a', 'b']) {
      const where = ['--image', `for-${host}`, '--availability-zone', `:${host}`]
      expect(await cloud.nova('boot', `on-${host}`, ...where, '--wait')).toMatchObject({ code: 0 })
      expect(await cloud.nova('console-log', `on-${host}`)).toMatchObject({ code: 0 })
      expect(await cloud.nova('pause', `on-${host}`, '--wait')).toMatchObject({ code: 0 })
    }
    expect(await cloud.nova('delete', 'on-a', '--wait')).toMatchObject({ code: 0 })
    expect(await refusals()).toEqual([])
  })

  test('is refused whatever it says of another host’s things, and nothing changes', async () => {
    const b = await cloud.json<{ id: string; image_id: string }>('show', 'on-b')
    // It hears the message and does nothing yet.
    daemons.b!.process.kill('SIGSTOP')
    const thief = await as('a')
    try {
      const operation = await cloud.conductor().then((api) => api.begin(admin(), { instance: b.id, kind: 'unpause' }))
      const booty: Booty = { instance: b.id, operation: operation.operation, image: b.image_id }
      const look = async () => [
        await cloud.json('show', b.id),
        await cloud.json('operation', 'show', booty.operation),
        { ...(await cloud.json<{ total: object; instances: unknown }>('host', 'show', 'b')), seen_at: 0 },
      ]
      const before = await look()
      const ask = async (theft: Theft, more: object = {}): Promise<void> => {
        const e = await thief.say(theft, { ...theft.args(booty), ...more }).catch((e: unknown) => e)
        expect(isFailure(e, 'Forbidden'), `${theft.topic}.${theft.method}: ${String(e)}`).toBe(true)
      }
      for (const theft of all) await ask(theft)
      // The same in host b's name.
      for (const theft of all) if (theft.method !== 'imageRead') await ask(theft, { host: 'b' })
      expect(await look()).toEqual(before)
      const told = await refusals()
      for (const { method } of all)
        expect(told.map(({ host, message }) => `${host} ${message}`)).toContainEqual(
          expect.stringContaining(`a host.a may not ${method}: `),
        )
      // Said again within a minute they are no more events.
      for (const theft of all) await ask(theft)
      expect(await refusals()).toHaveLength(told.length)
    } finally {
      daemons.b!.process.kill('SIGCONT')
      await thief.close()
    }
    const unpaused = await persist(async () => {
      const shown = await cloud.json<{ status: string }>('show', 'on-b')
      if (shown.status !== 'ACTIVE') throw new Error(shown.status)
      return shown
    })
    expect(unpaused).toMatchObject({ status: 'ACTIVE' })
  })

  test('may ask itself, and its own queue is all that it serves', async () => {
    const { url } = await cloud.json<Login>('host', 'add', 'c.d-1')
    const self = await joinBus(url)
    try {
      const unused = () => Promise.reject(new Error('not asked'))
      const api = { run: unused, consoleLog: unused, ping: async () => ({ host: 'c.d-1', incarnation: 'x' }) }
      const since = Date.now()
      const serving = await self.serve([served(compute, api)], {
        server: 'c.d-1',
        slots: 1,
        shared: false,
        pingMs: 100,
      })
      await persist(async () => expect(serving.lastPongAt).toBeGreaterThan(since + 50))
      const ping = self.client(compute, { server: 'c.d-1' }).ping(serviceContext('compute', 'req-x'), {})
      expect(await ping).toEqual({ host: 'c.d-1', incarnation: 'x' })
      await expect(
        joinBus(url).then((bus) => bus.serve([served(compute, api)], { server: 'x', slots: 1 })),
      ).rejects.toThrow(/ACCESS_REFUSED/)
    } finally {
      await self.close()
    }
  })

  test('is nobody where the message does not say who has sent it', async () => {
    const model = await connect(logins.a!.url)
    try {
      const channel = await model.createConfirmChannel()
      const message = { method: 'bye', args: asB, version: agent.version, _unique_id: systemIds.hex() }
      const body = { 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) }
      channel.publish('nova_hosts', 'agent', Buffer.from(JSON.stringify(body)))
      await channel.waitForConfirms()
      await persist(async () => {
        const told = await refusals()
        if (!told.some(({ message }) => message?.startsWith('- may not bye'))) throw new Error('not told yet')
      })
      expect(await cloud.json('service', 'list')).toContainEqual(expect.objectContaining({ host: 'b', state: 'up' }))
    } finally {
      await model.close()
    }
  })

  test.each(breaks)('may not %s', async (_what, action) => {
    const model = await connect(logins.a!.url)
    try {
      const channel = await model.createConfirmChannel()
      const refused = new Promise((resolve) => channel.on('error', resolve))
      const done = Promise.resolve(action(channel)).then(
        () => channel.waitForConfirms().then(() => 'done'),
        () => refused,
      )
      expect(await Promise.race([refused, done.catch(() => refused)])).toMatchObject({ code: 403 })
    } finally {
      await model.close()
    }
  })

  test('may not sign with another login, and no detour leads further than to those who hear hosts', async () => {
    const model = await connect(logins.a!.url)
    try {
      const forger = await model.createConfirmChannel()
      const refused = new Promise((resolve) => forger.on('error', resolve))
      forger.publish('nova_hosts', 'agent', Buffer.from('x'), { userId: 'host.b' })
      expect(await refused).toMatchObject({ code: 406, message: expect.stringContaining('user_id') })

      // An exchange of its own takes any key, and so do carbon copies; still nothing but hosts' affairs hangs on theirs.
      const channel = await model.createConfirmChannel()
      const back: string[] = []
      channel.on('return', ({ fields }) => back.push(fields.routingKey))
      const mine = reply('a')
      await channel.assertExchange(mine, 'fanout', { durable: false, autoDelete: true })
      await channel.bindExchange('nova_hosts', mine, '')
      const keys = ['conductor', 'scheduler', 'compute.b', 'broker']
      for (const key of keys) channel.publish(mine, key, Buffer.from('x'), { mandatory: true })
      await channel.waitForConfirms()
      expect(back).toEqual(keys)
      await channel.deleteExchange(mine)

      const copier = await model.createConfirmChannel()
      const outcome = new Promise((resolve) => {
        copier.on('error', () => resolve('refused'))
        copier.on('return', () => resolve('returned'))
      })
      const nobody = `reply_${'0'.repeat(32)}`
      copier.publish('nova_hosts', nobody, Buffer.from('x'), { mandatory: true, CC: keys })
      await expect(outcome).resolves.toMatch(/^re/)
    } finally {
      await model.close()
    }
  })

  test('loses its login with a new password or for good, and a host is deleted when it is down and empty', async () => {
    const old = logins.a!
    const stolen = await connect(old.url)
    const cut = new Promise((resolve) => stolen.on('close', resolve))
    stolen.on('error', () => undefined)
    const renewed = await cloud.nova('host', 'add', 'a', '-f', 'json')
    expect(renewed.stderr).toContain('the old one is no longer accepted')
    logins.a = JSON.parse(renewed.stdout) as Login
    expect(logins.a).toMatchObject({ user: 'host.a', known: true })
    await cut
    await expect(connect(old.url)).rejects.toThrow()

    expect(await cloud.nova('host', 'delete', 'b')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('1 instance is on it'),
    })
    expect(await cloud.nova('host', 'delete', 'a')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('it is up'),
    })
    await daemons.a!.stop()
    daemons.a = await startHost('a')
    await daemons.a.stop()
    expect(await cloud.nova('host', 'delete', 'a')).toMatchObject({
      code: 0,
      stdout: 'a: deleted, and its login host.a\n',
    })
    await expect(connect(logins.a.url)).rejects.toThrow()
    expect((await cloud.json<Array<{ name: string }>>('host', 'list')).map(({ name }) => name)).toEqual(['b'])
    expect(await cloud.nova('host', 'delete', 'a')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No host "a"'),
    })
  })
})
