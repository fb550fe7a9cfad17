import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterEach, expect, test, vi } from 'vitest'
import type { Broker, BrokerOptions } from '../../../src/core/broker/broker.ts'
import { bool, emptyTable, type Field, nested } from '../../../src/core/broker/field-table.ts'
import { channel, client, closeClients, consume, fresh, Inbox, portOf, quiet, send, startTestBroker } from './kit.ts'
import { methodFrame, RawPeer } from './raw-peer.ts'

const running: Broker[] = []
const scratch: string[] = []
closeClients()
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.close()))
  for (const each of scratch.splice(0)) rmSync(each, { recursive: true, force: true })
})

async function started(options: Partial<BrokerOptions> = {}): Promise<{ broker: Broker; url: string; port: number }> {
  const broker = await startTestBroker(options)
  running.push(broker)
  const port = broker.addresses().some((each) => 'port' in each) ? portOf(broker) : 0
  return { broker, port, url: `amqp://guest:guest@127.0.0.1:${port}` }
}

function socketPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'nova-broker-'))
  scratch.push(directory)
  return join(directory, 'bus.sock')
}

test('a peer that is frozen for two heartbeats is dropped, and what it had goes to others', async () => {
  const { broker, url, port } = await started()
  const publisher = await channel(url)
  const queue = fresh('frozen')
  await publisher.assertQueue(queue)
  const frozen = new RawPeer(port)
  await frozen.open(1)
  frozen.send(1, 'basic.consume', {
    ticket: 0,
    queue,
    consumerTag: '',
    noLocal: false,
    noAck: false,
    exclusive: false,
    nowait: false,
    arguments: emptyTable,
  })
  await frozen.hears('basic.consume-ok')
  await send(publisher, queue, ['x'])
  await vi.waitFor(() => expect(broker.stats().queues[0]).toMatchObject({ depth: 0, unacked: 1 }))
  await frozen.closed
  expect(frozen.heard.filter((each) => each === 'heartbeat').length).toBeGreaterThanOrEqual(2)
  expect((await (await consume(publisher, queue)).upTo(1))[0]?.fields.redelivered).toBe(true)
})

test('a peer that is idle but alive keeps its connection', async () => {
  const { broker, url } = await started({ heartbeatSeconds: 1 })
  const model = await client(url)
  let beats = 0
  const { stream } = model.connection as unknown as { stream: NodeJS.ReadableStream }
  await new Promise<void>((resolve) => stream.on('data', () => ++beats >= 6 && resolve()))
  expect(broker.stats().connections).toBe(1)
})

test('a peer that never gets through the handshake is dropped', async () => {
  let time = 0
  const timers: Array<{ at: number; fn: () => void }> = []
  const clock = {
    now: () => time,
    after: (ms: number, fn: () => void) => {
      const timer = { at: time + ms, fn }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), 1)
    },
    sleep: () => Promise.reject(new Error('nobody sleeps here')),
  }
  const { broker, port } = await started({ clock })
  const peer = new RawPeer(port)
  await vi.waitFor(() => expect(broker.stats().connections).toBe(1))
  time = 10_000
  for (const timer of timers.splice(0)) timer.fn()
  await peer.closed
  expect(broker.stats().connections).toBe(0)
})

test('a unix socket is for its owner only, and one left behind is no hindrance', async () => {
  const path = socketPath()
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  await once(spawn(process.execPath, ['-e', script]), 'exit')
  expect(statSync(path).isSocket()).toBe(true)
  const { broker } = await started({ listen: [{ path }] })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(broker.addresses()).toEqual([{ path }])
  const model = await connect({ username: 'guest', password: 'guest' }, { path })
  await (await model.createChannel()).checkExchange('amq.topic')
  await model.close()
})

test('an address that is taken is named, and nothing is left listening', async () => {
  const { port } = await started()
  const path = socketPath()
  await started({ listen: [{ path }] })
  await expect(startTestBroker({ listen: [{ port: 0 }, { port }] })).rejects.toMatchObject({
    code: 'ListenFailed',
    params: { address: `127.0.0.1:${port}`, why: 'another program already listens there' },
  })
  await expect(startTestBroker({ listen: [{ path }] })).rejects.toMatchObject({ code: 'ListenFailed' })
})

test('a file where the socket should be is left alone, and said', async () => {
  const path = socketPath()
  writeFileSync(path, 'dear diary')
  await expect(startTestBroker({ listen: [{ path }] })).rejects.toMatchObject({
    code: 'ListenFailed',
    params: { address: path, why: 'a file is there' },
  })
  expect(readFileSync(path, 'utf8')).toBe('dear diary')
})

test('virtual hosts are worlds of their own', async () => {
  const { broker, url } = await started({ vhosts: ['/', 'other'] })
  const [here, there] = [await channel(url), await channel(`${url}/other`)]
  await here.assertQueue('q')
  await there.assertQueue('q', { durable: false })
  await send(here, 'q', ['1', '2'])
  await there.prefetch(1)
  await consume(there, 'q')
  expect(broker.stats()).toMatchObject({
    connections: 2,
    blocked: false,
    queues: [
      { name: 'q', vhost: '/', depth: 2, unacked: 0, consumers: 0 },
      { name: 'q', vhost: 'other', depth: 0, unacked: 0, consumers: 1 },
    ],
  })
})

test('a broker that stops tells its clients, and takes its time no longer than they answer', async () => {
  const { broker, url, port } = await started()
  const model = await client(url)
  // amqplib takes 320 for the end that an operator wanted, not for an error.
  const told = once(model, 'close')
  const unresponsive = new RawPeer(port)
  await unresponsive.open()
  await broker.close()
  expect(await told).toMatchObject([{ code: 320 }])
  await unresponsive.closed
  expect(broker.stats().connections).toBe(0)
  await expect(connect(url)).rejects.toThrow(/ECONNREFUSED/)
})

test('a consumer that does not read costs no more than its share', async () => {
  const { broker, url, port } = await started()
  const publisher = await channel(url)
  const queue = fresh('slow')
  await publisher.assertQueue(queue)
  const reader = new RawPeer(port)
  await reader.open()
  reader.send(1, 'basic.consume', {
    ticket: 0,
    queue,
    consumerTag: '',
    noLocal: false,
    noAck: true,
    exclusive: false,
    nowait: false,
    arguments: emptyTable,
  })
  await reader.hears('basic.consume-ok')
  reader.socket.pause()
  const body = Buffer.alloc(64 << 10)
  for (let i = 0; i < 400; i++) publisher.sendToQueue(queue, body)
  await publisher.waitForConfirms()
  // 25 MiB were published; what the kernel's buffers and the bound of 1 MiB did not take is still in the queue.
  const { depth } = broker.stats().queues[0]!
  expect(depth).toBeGreaterThan(100)
  // It reads again, and gets all of it.
  const contents = () => reader.heard.filter((each) => each !== 'heartbeat' && each !== 'content').length
  reader.socket.resume()
  await vi.waitFor(() => expect(contents()).toBeGreaterThanOrEqual(400), { timeout: 20_000 })
  await vi.waitFor(() => expect(broker.stats().messageBytes).toBe(0))
})

test('a client that asks and does not read is not listened to any more', async () => {
  const { broker, url, port } = await started()
  const ch = await channel(url)
  await ch.assertQueue('big')
  await send(ch, 'big', ['x'.repeat(100_000)])
  const greedy = new RawPeer(port)
  await greedy.open()
  greedy.socket.pause()
  const ask = Buffer.concat([
    methodFrame(1, 'basic.get', { ticket: 0, queue: 'big', noAck: false }),
    methodFrame(1, 'basic.recover', { requeue: true }),
  ])
  let taken = true
  for (let i = 0; i < 200_000 && taken; i += 1000) {
    taken = greedy.socket.write(Buffer.concat(Array.from({ length: 1000 }, () => ask)))
    if (!taken) taken = await Promise.race([once(greedy.socket, 'drain').then(() => true), pause(500)])
  }
  expect(taken).toBe(false)
  expect(broker.stats().connections).toBe(2)
  greedy.hangUp()
  await vi.waitFor(() => expect(broker.stats().connections).toBe(1))
})

const pause = (ms: number): Promise<false> => new Promise((resolve) => setTimeout(() => resolve(false), ms))

test('publishers are told when the broker is full, held back, and let go when there is room', async () => {
  const { broker, url, port } = await started({ memoryBytes: 1 << 20 })
  const consumer = await channel(url)
  await consumer.assertQueue('full')
  const model = await client(url)
  const publisher = quiet(await model.createConfirmChannel())
  const blocked = once(model, 'blocked')
  const body = Buffer.alloc(64 << 10)
  const confirmed: Array<Promise<void>> = []
  const publish = () =>
    confirmed.push(new Promise((resolve) => publisher.sendToQueue('full', body, {}, () => resolve())))
  for (let i = 0; i < 100; i++) publish()
  expect(await blocked).toEqual(['low on memory'])
  // One that does not want to know is held back all the same.
  const plain = new RawPeer(port)
  await plain.open(0, new Map<string, Field>([['capabilities', nested({ 'connection.blocked': bool(false) })]]))
  await vi.waitFor(() => expect(broker.stats().queues[0]!.depth).toBeGreaterThan(30))
  expect(broker.stats().blocked).toBe(true)
  expect(broker.stats().queues[0]!.depth).toBeLessThan(60)
  const unblocked = once(model, 'unblocked')
  const inbox = new Inbox()
  await consumer.consume('full', (message) => inbox.take(message), { noAck: true })
  await unblocked
  await inbox.upTo(100)
  await Promise.all(confirmed)
  await vi.waitFor(() => expect(broker.stats()).toMatchObject({ blocked: false, messageBytes: 0 }))
  plain.hangUp()
})

test('who comes by the way past the alarm publishes while the broker is full, and nobody else does', async () => {
  const path = socketPath()
  const { broker, url } = await started({ memoryBytes: 1 << 20, listen: [{ port: 0 }, { path, pastAlarm: true }] })
  const model = await client(url)
  const blocked = once(model, 'blocked')
  const held = await model.createChannel()
  await held.assertQueue('full')
  for (let i = 0; i < 17; i++) held.sendToQueue('full', Buffer.alloc(64 << 10))
  await blocked

  const past = await connect({ username: 'guest', password: 'guest' }, { path })
  const told = once(past, 'blocked').then(() => 'blocked')
  const channel = await past.createConfirmChannel()
  const { depth } = broker.stats().queues[0]!
  channel.sendToQueue('full', Buffer.alloc(2 << 20))
  channel.sendToQueue('full', Buffer.alloc(1))
  expect(await Promise.race([told, channel.waitForConfirms().then(() => 'confirmed')])).toBe('confirmed')
  expect(broker.stats()).toMatchObject({ blocked: true, queues: [{ depth: depth + 2 }] })
  expect(await channel.purgeQueue('full')).toEqual({ messageCount: depth + 2 })
  await past.close()
})
