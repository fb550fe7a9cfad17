import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../../src/core/config/load.ts'
import { busUrl } from '../../src/core/config/places.ts'
import { parseAddresses } from '../../src/core/rpc/address.ts'
import { admin, Cloud, type Daemon } from '../kit/cloud.ts'
import { endOf } from '../kit/patience.ts'
import { type PrivateRabbit, privateRabbit } from '../kit/private-rabbitmq.ts'

type Status = {
  broker: { product: string; blocked: string[]; policies: string[]; connections: number; memory_bytes: number }
  queues: Array<{
    queue: string
    owner: string
    messages: number
    ready: number
    consumers: number
    in: number
    out: number
    policy: string | null
    advice: string | null
  }>
}

const settings = {
  NOVA_COMPUTE_SLOTS: '1',
  NOVA_COMPUTE_DRIVER: 'fake',
  NOVA_NOTIFICATIONS_MAX_LENGTH: '1000',
  NOVA_NOTIFICATIONS_TTL_SECONDS: '600',
  NOVA_OPERATIONS_RESEND_SECONDS: '1',
}

const node = await privateRabbit({ management: true })
afterAll(() => node?.stop())
const kinds: Array<[string, PrivateRabbit | undefined]> = [['the embedded broker', undefined]]
if (node !== undefined) kinds.push(['RabbitMQ', node])

describe.each(kinds)('an operator looks at the bus: %s', (_name, rabbit) => {
  let cloud: Cloud
  let compute: Daemon
  let peer: Awaited<ReturnType<typeof connect>>
  beforeAll(async () => {
    const bus = rabbit && { NOVA_BUS_URL: rabbit.url, NOVA_BUS_MANAGEMENT_URL: rabbit.managementUrl }
    cloud = await Cloud.open('embedded', { ...settings, ...bus })
    if (rabbit === undefined) await cloud.daemon('broker')
    await cloud.daemon('conductor')
    await Promise.all([cloud.daemon('scheduler'), cloud.daemon('compute').then((daemon) => (compute = daemon))])
    const [address] = parseAddresses(busUrl(await loadConfig({ env: cloud.env })))
    peer = await connect(address.connect, address.socket)
  }, 120_000)
  afterAll(async () => {
    await peer?.close()
    await cloud?.close()
  })
  const status = () => cloud.json<Status>('bus', 'status')
  const queue = async (name: string) => (await status()).queues.find((row) => row.queue === name)

  test('every queue stands there with its owner, its consumers and how fast it is', { timeout: 60_000 }, async () => {
    const api = await cloud.conductor()
    // RabbitMQ's management counts once a second.
    await vi.waitFor(
      async () => {
        for (let i = 0; i < 50; i++) await api.ping(admin(), {})
        const { broker, queues } = await status()
        expect(broker).toMatchObject({ product: rabbit ? 'RabbitMQ' : 'embedded', blocked: [] })
        expect(broker.memory_bytes).toBeGreaterThan(0)
        const row = (name: string) => queues.find((each) => each.queue === name)
        expect(row('compute.host')).toMatchObject({ owner: 'compute on host', consumers: 1, advice: null })
        expect(queues.filter((each) => each.queue.startsWith('reply_')).length).toBeGreaterThanOrEqual(4)
        expect(row('conductor')?.in).toBeGreaterThan(1)
        expect(row('conductor')?.out).toBeGreaterThan(1)
      },
      { timeout: 30_000, interval: 500 },
    )
    const table = await cloud.nova('bus', 'status', '--sort', 'name')
    expect(table.stdout).toMatch(/^broker {2}(embedded|RabbitMQ) [\d.]+; \d+ connections; .*; accepts messages\n/)
    expect(table.stdout).toMatch(/\bcompute\.host\b.*compute on host/)
  })

  test('nova status names the queues that daemons listen on, and no others', async () => {
    const { queues } = await cloud.json<{ queues: Array<{ name: string; consumers: number }> }>('status')
    expect(queues.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['conductor', 'agent', 'scheduler', 'compute.host']),
    )
    expect(queues.filter(({ consumers }) => consumers === 0)).toEqual([])
  })

  test('messages that nobody takes stand on top, with what to do; a purge says how many went', {
    timeout: 60_000,
  }, async () => {
    const channel = await peer.createConfirmChannel()
    await channel.assertQueue('compute.ghost', { durable: false, autoDelete: true })
    for (let i = 0; i < 7; i++) channel.sendToQueue('compute.ghost', Buffer.from('{}'))
    await channel.waitForConfirms()
    await vi.waitFor(async () => expect(await queue('compute.ghost')).toMatchObject({ messages: 7 }), 20_000)
    expect((await status()).queues[0]).toMatchObject({
      queue: 'compute.ghost',
      owner: 'compute on ghost',
      consumers: 0,
      advice: expect.stringContaining('nova daemon compute'),
    })
    const shown = await cloud.nova('bus', 'status')
    expect(shown.stdout).toContain('compute.ghost: 7 waiting. Nobody takes these messages: start the service')
    const checks = await cloud.json<Array<{ check: string; state: string; found: string }>>('doctor')
    expect(checks.find(({ check }) => check === 'queues')).toMatchObject({
      state: 'warning',
      found: 'compute.ghost: 7 messages',
    })

    const unsure = await cloud.nova('bus', 'purge', 'compute.ghost')
    expect(unsure).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') })
    const purged = await cloud.nova('bus', 'purge', 'compute.ghost', '--yes')
    expect(purged).toMatchObject({ code: 0, stdout: 'compute.ghost: 7 messages dropped\n' })
    const wrong = await cloud.nova('bus', 'purge', 'compute.gost', '--yes')
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/No queue "compute\.gost"\.\s+Did you mean "compute\.ghost"/)
    const reply = (await status()).queues.find((row) => row.queue.startsWith('reply_'))
    const refused = await cloud.nova('bus', 'purge', reply?.queue ?? '', '--yes')
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('holds answers') })
    await channel.close()
  })

  test('a boot whose message is purged completes all the same', { timeout: 90_000 }, async () => {
    const disk = join(cloud.stateDir, 'disk')
    writeFileSync(disk, 'a disk')
    expect(await cloud.nova('image', 'create', 'small', '--disk', disk, '--disk-format', 'raw')).toMatchObject({
      code: 0,
    })
    const api = await cloud.conductor()
    compute.process.kill('SIGSTOP')
    try {
      const { begun } = await api.boot(admin(), { name: 'purged', flavor: 'm1.nano', count: 3 })
      // One is on its way to the frozen process: its prefetch is one.
      await vi.waitFor(async () => expect((await queue('compute.host'))?.messages).toBeGreaterThanOrEqual(2), 20_000)
      const { code, stdout, stderr } = await cloud.nova('bus', 'purge', 'compute.host', '--yes')
      if (rabbit === undefined) expect(Number(/: (\d+) messages?/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(1)
      else {
        // A queue that belongs to one connection is closed to the management API, but not to an operator of the node.
        expect({ code, stderr }).toEqual({
          code: 2,
          stderr: expect.stringMatching(/rabbitmqctl purge_queue -p \/ compute\.host/),
        })
        await rabbit.ctl('purge_queue', 'compute.host')
      }
      compute.process.kill('SIGCONT')
      for (const { operation } of begun) expect(await endOf(api, operation)).toMatchObject({ state: 'succeeded' })
    } finally {
      compute.process.kill('SIGCONT')
    }
  })

  test('a queue of notifications that nobody reads keeps the newest thousand, and no more', {
    timeout: 60_000,
  }, async () => {
    await vi.waitFor(async () => expect((await status()).broker.policies).toContain('nova-notifications'), 20_000)
    if (rabbit)
      expect(await rabbit.ctl('list_policies')).toMatch(/"max-length":1000,"message-ttl":600000,"overflow":"drop-head"/)
    const channel = await peer.createConfirmChannel()
    const name = 'versioned_notifications.info'
    // As oslo.messaging's listeners declare it.
    await channel.assertQueue(name, { durable: false, autoDelete: false })
    await channel.bindQueue(name, 'nova', name)
    for (let i = 0; i < 5_000; i++) channel.publish('nova', name, Buffer.from(String(i).padEnd(1_000)))
    await channel.waitForConfirms()
    expect((await channel.checkQueue(name)).messageCount).toBe(1_000)
    const oldest = await channel.get(name, { noAck: true })
    expect(oldest && Number(oldest.content.toString())).toBe(4_000)
    await vi.waitFor(
      async () =>
        expect(await queue(name)).toMatchObject({
          policy: 'nova-notifications',
          messages: 999,
          owner: 'readers of notifications',
        }),
      20_000,
    )
    await channel.deleteQueue(name)
    await channel.close()
  })
})

test('an embedded broker that takes no messages is looked at and purged past its alarm; who waits is told why', {
  timeout: 60_000,
}, async () => {
  // Declared in another way than usual: whoever asks the keeper has to declare them so, too.
  const cloud = await Cloud.open('embedded', { ...settings, NOVA_BUS_QUEUES: 'transient' })
  try {
    await cloud.daemon('broker')
    await cloud.daemon('conductor')
    const [address] = parseAddresses(busUrl(await loadConfig({ env: cloud.env })))
    const peer = await connect(address.connect, address.socket)
    const blocked = once(peer, 'blocked')
    const channel = await peer.createChannel()
    await channel.assertQueue('heap')
    const [body, pieces] = [Buffer.alloc(15 << 20), 18]
    for (let i = 0; i < pieces; i++) channel.sendToQueue('heap', body)
    await blocked

    const { broker, queues } = await cloud.json<Status>('bus', 'status')
    expect(broker).toMatchObject({ product: 'embedded', blocked: ['memory alarm'] })
    expect(queues[0]).toMatchObject({ queue: 'heap', messages: pieces })
    const { stdout } = await cloud.nova('doctor', '-f', 'json')
    expect((JSON.parse(stdout) as Array<{ check: string }>).find(({ check }) => check === 'queues')).toMatchObject({
      state: 'failed',
      found: expect.stringContaining(`heap has ${pieces} messages`),
      fix: expect.stringContaining('nova bus purge'),
    })
    expect(await cloud.nova('list', '--timeout', '4')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^Waiting: the broker is low on memory, and accepts no messages\.\nnova: The bus at/,
      ),
    })
    expect(await cloud.nova('--role', 'member', 'bus', 'purge', 'heap', '--yes')).toMatchObject({ code: 1 })
    expect(await cloud.nova('bus', 'purge', 'heap', '--yes')).toMatchObject({
      stdout: `heap: ${pieces} messages dropped\n`,
    })
    expect(await cloud.nova('list')).toMatchObject({ code: 0, stderr: '' })
    await peer.close()
  } finally {
    await cloud.close()
  }
})

test('where RabbitMQ takes no messages, doctor says so and which queue is full, by its management', {
  timeout: 90_000,
}, async () => {
  if (node === undefined) return
  const cloud = await Cloud.open('embedded', {
    ...settings,
    NOVA_BUS_URL: node.url,
    NOVA_BUS_MANAGEMENT_URL: node.managementUrl,
  })
  try {
    const peer = await connect(node.url)
    const channel = await peer.createConfirmChannel()
    await channel.assertQueue('heap', { durable: false, autoDelete: false })
    for (let i = 0; i < 500; i++) channel.sendToQueue('heap', Buffer.alloc(1_000))
    await channel.waitForConfirms()
    await peer.close()
    await node.ctl('set_vm_memory_high_watermark', '0.00001')
    await vi.waitFor(async () => {
      const { code, stdout } = await cloud.nova('doctor', '-f', 'json')
      expect(code).toBe(1)
      const found = (JSON.parse(stdout) as Array<{ check: string }>).find(({ check }) => check === 'queues')
      expect(found).toMatchObject({
        state: 'failed',
        found: expect.stringMatching(/accepts no messages: memory alarm on nova.*; heap has 500 messages/),
      })
    }, 60_000)
  } finally {
    await node.ctl('set_vm_memory_high_watermark', '0.8')
    await cloud.close()
  }
})

test('a RabbitMQ without its management is shown in part, and says which option is missing', {
  timeout: 60_000,
}, async () => {
  if (node === undefined) return
  const cloud = await Cloud.open('embedded', { ...settings, NOVA_BUS_URL: node.url })
  try {
    await cloud.daemon('conductor')
    const { broker, queues } = await cloud.json<Status>('bus', 'status')
    expect(broker).toMatchObject({ product: 'RabbitMQ', partial: expect.stringContaining('bus.management_url') })
    expect(queues.find((row) => row.queue === 'conductor.host')).toMatchObject({ consumers: 1 })
    const purge = await cloud.nova('bus', 'purge', 'conductor.host', '--yes')
    expect(purge).toMatchObject({ code: 1, stderr: expect.stringContaining('Set bus.management_url to http://') })
  } finally {
    await cloud.close()
  }
})
