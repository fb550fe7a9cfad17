import { afterEach, describe, expect, test } from 'vitest'
import type { Broker, BrokerOptions } from '../../../src/core/broker/broker.ts'
import { client, closeClients, portOf, quiet, startTestBroker } from './kit.ts'

closeClients()
const brokers: Broker[] = []
afterEach(async () => {
  for (const each of brokers.splice(0)) await each.close()
})

const permissions = { configure: '^mine', write: '^(mine|amq\\.topic)', read: '^(mine|amq\\.topic)', topics: [] }
const small = { sentBytes: 100_000, receivedBytes: 100_000, messageBytes: 50_000 }

const start = async (options: Partial<BrokerOptions> = {}) => {
  const broker = await startTestBroker({ userLimits: small, memoryBytes: 1_000_000, ...options })
  brokers.push(broker)
  const { password } = broker.putUser('ann', permissions)
  const at = `127.0.0.1:${portOf(broker)}`
  return { broker, ann: `amqp://ann:${password}@${at}`, guest: `amqp://guest:guest@${at}` }
}
const closed = (model: { once(event: string, fn: (e?: Error) => void): unknown }) =>
  new Promise<string>((resolve) => model.once('close', (e) => resolve(e?.message ?? 'without a reason')))
const body = Buffer.alloc(40_000)

test('who fills the broker is refused, and nobody else notices', async () => {
  const { broker, ann, guest } = await start()
  const model = await client(ann)
  const ch = quiet(await model.createChannel())
  await ch.assertExchange('mine', 'fanout')
  await ch.assertQueue('mine.q')
  await ch.bindQueue('mine.q', 'mine', '')
  const gone = closed(model)
  for (let i = 0; i < 40; i++) ch.publish('mine', '', body)
  expect(await gone).toMatch(/RESOURCE.ERROR.*user 'ann'.*more than 100000 bytes/)
  expect(broker.stats()).toMatchObject({ blocked: false, queues: [{ name: 'mine.q', depth: 2 }] })
  const other = quiet(await (await client(guest)).createConfirmChannel())
  other.publish('', 'nowhere', body)
  await other.waitForConfirms()
})

test('messages that are taken make room again', async () => {
  const { ann } = await start()
  const ch = quiet(await (await client(ann)).createConfirmChannel())
  await ch.assertExchange('mine', 'fanout')
  await ch.assertQueue('mine.q')
  await ch.bindQueue('mine.q', 'mine', '')
  for (let i = 0; i < 20; i++) {
    ch.publish('mine', '', body)
    await ch.waitForConfirms()
    expect(await ch.get('mine.q', { noAck: true })).not.toBe(false)
  }
})

test('one message for many queues counts for each of them', async () => {
  const { broker, ann } = await start()
  const one = await client(ann)
  const ch = quiet(await one.createConfirmChannel())
  await ch.assertExchange('mine', 'fanout')
  for (let i = 0; i < 10; i++) {
    await ch.assertQueue(`mine.${i}`)
    await ch.bindQueue(`mine.${i}`, 'mine', '')
  }
  ch.publish('mine', '', body)
  await expect(ch.waitForConfirms()).rejects.toThrow()
  expect(broker.stats().queues.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(100_000)
})

test('a queue that its owner does not read takes no more; the sender is told by a nack', async () => {
  const { ann, guest } = await start()
  await (await (await client(ann)).createChannel()).assertQueue('mine.q')
  const ch = quiet(await (await client(guest)).createConfirmChannel())
  const outcomes = await Promise.all(
    Array.from(
      { length: 4 },
      () => new Promise<boolean>((resolve) => ch.sendToQueue('mine.q', body, {}, (e) => resolve(e === null))),
    ),
  )
  expect(outcomes).toEqual([true, true, false, false])
})

describe('the number of', () => {
  const limits = { queues: 2, exchanges: 2, bindings: 2, channels: 3, connections: 2, consumersPerChannel: 2 }
  const channelOf = async (url: string) => quiet(await (await client(url)).createChannel())

  test('queues, exchanges, bindings and consumers is bounded, and what is deleted makes room', async () => {
    const { ann } = await start({ userLimits: limits })
    const queues = await channelOf(ann)
    for (const name of ['mine.a', 'mine.b']) await queues.assertQueue(name)
    await queues.deleteQueue('mine.a')
    await queues.assertQueue('mine.a')
    for (const name of ['mine.a', 'mine.b']) await queues.assertExchange(name, 'topic', { durable: false })
    for (const key of ['a', 'b']) await queues.bindQueue('mine.a', 'amq.topic', key)
    for (const consumerTag of ['a', 'b']) await queues.consume('mine.a', () => undefined, { consumerTag })
    await expect(queues.consume('mine.a', () => undefined)).rejects.toThrow('may not have more than 2 consumers')
    const again = await channelOf(ann)
    await expect(again.bindQueue('mine.a', 'amq.topic', 'c')).rejects.toThrow('may not have more than 2 bindings')
  })

  test.each(['queues', 'exchanges'] as const)('%s is bounded on a new connection as well', async (what) => {
    const { ann } = await start({ userLimits: limits })
    const declare = async (name: string) => {
      const model = await client(ann)
      const ch = quiet(await model.createChannel())
      await (what === 'queues' ? ch.assertQueue(name) : ch.assertExchange(name, 'topic'))
      await model.close()
    }
    await declare('mine.a')
    await declare('mine.b')
    await expect(declare('mine.c')).rejects.toThrow(`may not have more than 2 ${what}`)
  })

  test('channels and connections is bounded for all connections together', async () => {
    const { ann } = await start({ userLimits: limits })
    const model = await client(ann)
    for (let i = 0; i < 3; i++) await model.createChannel()
    const second = await client(ann)
    const gone = closed(second)
    await second.createChannel().catch(() => undefined)
    expect(await gone).toMatch(/NOT.ALLOWED.*may not have more than 3 channels/)
    await client(ann)
    await expect(client(ann)).rejects.toThrow()
  })
})

test('a user who is removed leaves nothing behind', async () => {
  const { broker, ann } = await start()
  const model = await client(ann)
  const ch = quiet(await model.createChannel())
  await ch.assertQueue('mine.q')
  await ch.assertExchange('mine', 'topic')
  const gone = closed(model)
  broker.deleteUser('ann')
  await gone
  expect(broker.stats().queues).toEqual([])
})

test('a message that is too large is refused before its body; a limited user has a limit of its own', async () => {
  const { ann, guest } = await start({ messageBytes: 60_000 })
  const refusal = (url: string) =>
    client(url).then(async (model) => {
      const ch = await model.createChannel()
      const gone = new Promise<string>((resolve) => ch.on('error', (e) => resolve(e.message)))
      ch.publish('amq.topic', '', Buffer.alloc(70_000))
      return gone
    })
  expect(await refusal(guest)).toMatch(/PRECONDITION.FAILED.*message size 70000 is larger than .* 60000/)
  expect(await refusal(ann)).toMatch(/PRECONDITION.FAILED.*message size 70000 is larger than .* 50000/)
})
