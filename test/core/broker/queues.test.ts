import type { ConfirmChannel } from 'amqplib'
import { describe, expect, test, vi } from 'vitest'
import { buses, channel, client, closeClients, consume, cut, drain, fresh, quiet, refusal, send } from './kit.ts'

const both = await buses()
closeClients()

/** A queue whose dead messages go to another one. */
async function mortal(ch: ConfirmChannel, args: Record<string, unknown>) {
  const [queue, graveyard] = [fresh('mortal'), fresh('graveyard')]
  await ch.assertQueue(graveyard)
  await ch.assertQueue(queue, {
    arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': graveyard, ...args },
  })
  return { queue, graveyard, dead: await consume(ch, graveyard, { noAck: true }) }
}

const gone = async (url: string, queue: string): Promise<boolean> => {
  const model = await client(url)
  const ch = quiet(await model.createChannel())
  return ch.checkQueue(queue).then(
    () => false,
    () => true,
  )
}

describe.each(both)('how queues live and die, on $name', ({ url }) => {
  test('a message that waited too long is dead-lettered with its story', async () => {
    const ch = await channel(url)
    const { queue, dead } = await mortal(ch, {})
    await send(ch, queue, ['x'], { expiration: '20', headers: { mine: 1 }, messageId: 'm' })
    const [message] = await dead.upTo(1)
    const headers = message!.properties.headers!
    expect(headers['x-death']![0]).toMatchObject({
      count: 1,
      exchange: '',
      queue,
      reason: 'expired',
      'routing-keys': [queue],
      'original-expiration': '20',
    })
    expect(headers).toMatchObject({ mine: 1, 'x-first-death-queue': queue, 'x-first-death-reason': 'expired' })
    expect([message!.properties.expiration, message!.properties.messageId]).toEqual([undefined, 'm'])
  })

  test('the shorter of both lifetimes holds, and time zero is for who waits already', async () => {
    const ch = await channel(url)
    const { queue, dead } = await mortal(ch, { 'x-message-ttl': 0 })
    await send(ch, queue, ['nobody waits'], { expiration: '60000' })
    await dead.upTo(1)
    const inbox = await consume(ch, queue, { noAck: true })
    await send(ch, queue, ['somebody waits'])
    expect((await inbox.upTo(1)).map(String)).toHaveLength(1)
    expect(dead.texts).toEqual(['nobody waits'])
  })

  test('a message that came back keeps the time that it had', async () => {
    const ch = await channel(url)
    const { queue, dead } = await mortal(ch, { 'x-message-ttl': 150 })
    await send(ch, queue, ['x'])
    const got = await ch.get(queue)
    if (!got) throw new Error('nothing there')
    ch.nack(got)
    await dead.upTo(1)
    expect(dead.all[0]!.properties.headers!['x-death']![0]).toMatchObject({ reason: 'expired' })
  })

  test('a rejected message is dead-lettered, and counts how often', async () => {
    const ch = await channel(url)
    const { queue, dead } = await mortal(ch, {})
    const inbox = await consume(ch, queue)
    await send(ch, queue, ['x'])
    ch.nack((await inbox.upTo(1))[0]!, false, false)
    const [first] = await dead.upTo(1)
    ch.sendToQueue(queue, first!.content, { headers: first!.properties.headers })
    ch.reject((await inbox.upTo(2))[1]!, false)
    const [, second] = await dead.upTo(2)
    expect(second!.properties.headers!['x-death']).toHaveLength(1)
    expect(second!.properties.headers!['x-death']![0]).toMatchObject({ reason: 'rejected', count: 2, queue })
  })

  test('a message that would go round without anybody rejecting it is dropped', async () => {
    const ch = await channel(url)
    const queue = fresh('circle')
    const exchange = fresh('circle')
    await ch.assertExchange(exchange, 'fanout')
    await ch.assertQueue(queue, { messageTtl: 10, deadLetterExchange: exchange })
    await ch.bindQueue(queue, exchange, '')
    await send(ch, queue, ['x'])
    await vi.waitFor(async () => expect((await ch.checkQueue(queue)).messageCount).toBe(0))
  })

  test('a full queue drops its oldest message', async () => {
    const ch = await channel(url)
    const { queue, dead } = await mortal(ch, { 'x-max-length': 2 })
    await send(ch, queue, ['1', '2', '3', '4'])
    await dead.upTo(2)
    expect(dead.texts).toEqual(['1', '2'])
    expect(dead.all[0]!.properties.headers!['x-death']![0]).toMatchObject({ reason: 'maxlen' })
    expect(await drain(ch, queue)).toEqual(['3', '4'])
  })

  test('a queue that is full by bytes drops as many as it must', async () => {
    const ch = await channel(url)
    const queue = fresh('bytes')
    await ch.assertQueue(queue, { arguments: { 'x-max-length-bytes': 10 } })
    await send(ch, queue, ['aaaa', 'bbbb', 'cccc', 'dddddd'])
    expect(await drain(ch, queue)).toEqual(['cccc', 'dddddd'])
  })

  test('a full queue that was told to refuse makes the publisher hear no', async () => {
    const ch = await channel(url)
    const queue = fresh('refuses')
    await ch.assertQueue(queue, { maxLength: 1, overflow: 'reject-publish' } as object)
    await send(ch, queue, ['1'])
    await expect(send(ch, queue, ['2'])).rejects.toThrow(/nack/)
    expect(await drain(ch, queue)).toEqual(['1'])
    await send(ch, queue, ['3'])
  })

  test('a queue with priorities gives the highest first, and keeps the order within one', async () => {
    const ch = await channel(url)
    const queue = fresh('priorities')
    await ch.assertQueue(queue, { maxPriority: 5 })
    for (const [text, priority] of [
      ['a', 1],
      ['b', 5],
      ['c', 1],
      ['d', 200],
      ['e', 0],
    ] as const) {
      ch.sendToQueue(queue, Buffer.from(text), { priority })
    }
    await ch.waitForConfirms()
    expect(await drain(ch, queue)).toEqual(['b', 'd', 'a', 'c', 'e'])
  })

  test('a queue that nobody uses goes after its time, one with a consumer stays', async () => {
    const ch = await channel(url)
    const [unused, used] = [fresh('unused'), fresh('used')]
    await ch.assertQueue(used, { expires: 200 })
    await consume(ch, used)
    await ch.assertQueue(unused, { expires: 200 })
    // Asking counts as use, so it is asked less often than it expires.
    await vi.waitFor(async () => expect(await gone(url, unused)).toBe(true), { timeout: 5_000, interval: 500 })
    expect(await gone(url, used)).toBe(false)
  })

  test('an auto-delete queue goes with its last consumer, not before the first', async () => {
    const ch = await channel(url)
    const queue = fresh('auto')
    await ch.assertQueue(queue, { autoDelete: true })
    expect(await gone(url, queue)).toBe(false)
    const [one, two] = [await consume(ch, queue), await consume(ch, queue)]
    await ch.cancel(one.consumerTag)
    expect(await gone(url, queue)).toBe(false)
    await ch.cancel(two.consumerTag)
    expect(await gone(url, queue)).toBe(true)
  })

  test('an exclusive queue is its connection alone, and goes with it', async () => {
    const model = await client(url)
    const ch = await model.createChannel()
    const { queue } = await ch.assertQueue(fresh('own'), { exclusive: true })
    for (const action of [
      (other: ConfirmChannel) => other.checkQueue(queue),
      (other: ConfirmChannel) => other.assertQueue(queue, { exclusive: true }),
      (other: ConfirmChannel) => other.deleteQueue(queue),
      (other: ConfirmChannel) => consume(other, queue),
      (other: ConfirmChannel) => other.get(queue),
      (other: ConfirmChannel) => other.bindQueue(queue, 'amq.fanout', ''),
      (other: ConfirmChannel) => other.purgeQueue(queue),
    ]) {
      const other = await channel(url)
      const { code, text } = await refusal(other, () => action(other))
      expect(code).toBe(405)
      expect(text).toMatch(/^RESOURCE_LOCKED - cannot obtain exclusive access to locked queue/)
    }
    await (await model.createChannel()).checkQueue(queue)
    cut(model)
    await vi.waitFor(async () => expect(await gone(url, queue)).toBe(true))
  })

  test('purge counts what waits and leaves what is out', async () => {
    const ch = await channel(url)
    const queue = fresh('purged')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1', '2', '3'])
    await ch.get(queue)
    expect(await ch.purgeQueue(queue)).toEqual({ messageCount: 2 })
    await ch.recover()
    expect(await drain(ch, queue)).toEqual(['1'])
  })

  test('delete counts what waits, heeds its conditions, and is content to find nothing', async () => {
    const ch = await channel(url)
    const queue = fresh('conditions')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1'])
    const [a, b] = [await channel(url), await channel(url)]
    expect((await refusal(a, () => a.deleteQueue(queue, { ifEmpty: true }))).code).toBe(406)
    const inbox = await consume(ch, queue)
    await inbox.upTo(1)
    expect((await refusal(b, () => b.deleteQueue(queue, { ifUnused: true }))).code).toBe(406)
    expect(await ch.deleteQueue(queue)).toEqual({ messageCount: 0 })
    expect(await ch.deleteQueue(queue)).toEqual({ messageCount: 0 })
    ch.ack(inbox.all[0]!)
    await ch.unbindQueue(queue, 'amq.direct', 'never')
    await ch.deleteExchange(fresh('never'))
  })
})
