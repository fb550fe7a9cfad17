import { describe, expect, test } from 'vitest'
import {
  buses,
  channel,
  client,
  closeClients,
  consume,
  cut,
  drain,
  fresh,
  quiet,
  refusal,
  send,
  settled,
} from './kit.ts'

const both = await buses()
closeClients()

describe.each(both)('who gets which message, on $name', ({ url }) => {
  test('prefetch 1 gives each consumer one, and the next one after its acknowledgement', async () => {
    const [publisher, one, other] = [await channel(url), await channel(url), await channel(url)]
    const queue = fresh('fair')
    await publisher.assertQueue(queue)
    await Promise.all([one.prefetch(1), other.prefetch(1)])
    const [first, second] = [await consume(one, queue), await consume(other, queue)]
    await send(publisher, queue, ['1', '2', '3', '4'])
    await Promise.all([first.upTo(1), second.upTo(1), settled(one, queue), settled(other, queue)])
    expect([...first.texts, ...second.texts].sort()).toEqual(['1', '2'])
    one.ack(first.all[0]!)
    await first.upTo(2)
    await settled(other, queue)
    expect(first.texts[1]).toBe('3')
    expect(second.texts).toHaveLength(1)
  })

  test('without prefetch consumers take turns', async () => {
    const publisher = await channel(url)
    const queue = fresh('turns')
    await publisher.assertQueue(queue)
    const inboxes = []
    for (let i = 0; i < 3; i++) inboxes.push(await consume(await channel(url), queue, { noAck: true }))
    await send(
      publisher,
      queue,
      Array.from({ length: 9 }, (_, i) => String(i)),
    )
    await Promise.all(inboxes.map((each) => each.upTo(3)))
    expect(inboxes.map((each) => each.all.length)).toEqual([3, 3, 3])
  })

  test('prefetch without global counts for each consumer that comes later, with global for the channel', async () => {
    const publisher = await channel(url)
    const ch = quiet(await (await client(url)).createChannel())
    const [a, b] = [fresh('qos'), fresh('qos')]
    for (const queue of [a, b]) {
      await publisher.assertQueue(queue)
      await send(publisher, queue, ['1', '2', '3', '4', '5'])
    }
    await ch.prefetch(2, false)
    const first = await consume(ch, a)
    await ch.prefetch(1, false)
    const second = await consume(ch, b)
    await Promise.all([first.upTo(2), second.upTo(1)])
    await settled(ch, a)
    await settled(ch, b)
    expect([first.all.length, second.all.length]).toEqual([2, 1])
    await ch.prefetch(4, true)
    ch.ack(first.all[1]!, true)
    await first.upTo(4)
    await settled(ch, a)
    // Two more and one that is out: three of four, and the consumers' own limits still hold.
    expect([first.all.length, second.all.length]).toEqual([4, 1])
    await ch.prefetch(1, true)
    ch.ack(first.all[2]!)
    ch.ack(first.all[3]!)
    await settled(ch, a)
    expect(first.all.length).toBe(4)
    ch.ack(second.all[0]!)
    await Promise.race([first.upTo(5), second.upTo(2)])
    await settled(ch, a)
    expect(first.all.length + second.all.length).toBe(6)
  })

  test('what comes back goes to its old place, marked as redelivered', async () => {
    const ch = await channel(url)
    const queue = fresh('back')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1', '2', '3', '4', '5', '6'])
    const got = []
    for (let i = 0; i < 5; i++) got.push((await ch.get(queue)) || undefined)
    ch.nack(got[3]!, false, true)
    ch.reject(got[1]!, true)
    ch.ack(got[0]!)
    const again = []
    for (let i = 0; i < 3; i++) again.push((await ch.get(queue, { noAck: true })) || undefined)
    expect(again.map((each) => [each?.content.toString(), each?.fields.redelivered])).toEqual([
      ['2', true],
      ['4', true],
      ['6', false],
    ])
    ch.nackAll(true)
    expect(await drain(ch, queue)).toEqual(['3', '5'])
  })

  test('a channel that closes gives back what it had, in order', async () => {
    const [publisher, model] = [await channel(url), await client(url)]
    const queue = fresh('closed')
    await publisher.assertQueue(queue)
    await send(publisher, queue, ['1', '2', '3'])
    const ch = await model.createChannel()
    await (await consume(ch, queue)).upTo(3)
    await send(publisher, queue, ['4'])
    await ch.close()
    const other = await consume(publisher, queue)
    const all = await other.upTo(4)
    expect(all.map((each) => [each.content.toString(), each.fields.redelivered])).toEqual([
      ['1', true],
      ['2', true],
      ['3', true],
      ['4', true],
    ])
  })

  test('a connection that is lost gives back what all its channels had', async () => {
    const [publisher, model] = [await channel(url), await client(url)]
    const queue = fresh('lost')
    await publisher.assertQueue(queue)
    await send(publisher, queue, ['1', '2', '3', '4'])
    for (let i = 0; i < 2; i++) {
      const ch = await model.createChannel()
      await ch.prefetch(2)
      await (await consume(ch, queue)).upTo(2)
    }
    const rest = await consume(publisher, queue)
    cut(model)
    const all = await rest.upTo(4)
    expect(all.map((each) => each.content.toString()).sort()).toEqual(['1', '2', '3', '4'])
    expect(all.every((each) => each.fields.redelivered)).toBe(true)
  })

  test('acknowledging many at once ends all up to that one; zero means all', async () => {
    const ch = await channel(url)
    const queue = fresh('multiple')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1', '2', '3', '4', '5'])
    const inbox = await consume(ch, queue)
    await inbox.upTo(5)
    ch.ack(inbox.all[2]!, true)
    await ch.recover()
    await inbox.upTo(7)
    expect(inbox.texts.slice(5)).toEqual(['4', '5'])
    ch.ackAll()
    await ch.recover()
    await settled(ch, queue)
    expect(inbox.all).toHaveLength(7)
  })

  test.each([
    ['a tag that was never given', 7],
    ['a tag for the second time', 1],
  ])('acknowledging %s closes the channel with 406', async (_what, deliveryTag) => {
    const ch = await channel(url)
    const queue = fresh('tags')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1'])
    const got = await ch.get(queue)
    if (!got) throw new Error('nothing there')
    ch.ack(got)
    const answer = await refusal(ch, () => ch.ack({ ...got, fields: { ...got.fields, deliveryTag } }))
    expect(answer).toEqual({ code: 406, text: `PRECONDITION_FAILED - unknown delivery tag ${deliveryTag}` })
  })

  test('an exclusive consumer keeps others away, and others keep it away', async () => {
    const [one, other] = [await channel(url), await channel(url)]
    const queue = fresh('exclusive')
    await one.assertQueue(queue)
    await consume(one, queue, { exclusive: true })
    expect((await refusal(other, () => consume(other, queue))).code).toBe(403)
    const third = await channel(url)
    const shared = fresh('shared')
    await third.assertQueue(shared)
    await consume(third, shared)
    const answer = await refusal(one, () => consume(one, shared, { exclusive: true }))
    expect(answer.code).toBe(403)
    expect(answer.text).toContain('in exclusive use')
  })

  test('a consumer of higher priority is served first, while it has room', async () => {
    const [publisher, low, high] = [await channel(url), await channel(url), await channel(url)]
    const queue = fresh('priority')
    await publisher.assertQueue(queue)
    await high.prefetch(2)
    const lower = await consume(low, queue)
    const higher = await consume(high, queue, { priority: 10 })
    await send(publisher, queue, ['1', '2', '3'])
    await Promise.all([higher.upTo(2), lower.upTo(1)])
    expect([higher.texts, lower.texts]).toEqual([['1', '2'], ['3']])
  })

  test('a consumer hears that its queue was deleted', async () => {
    const [ch, other] = [await channel(url), await channel(url)]
    const queue = fresh('deleted')
    await ch.assertQueue(queue)
    const inbox = await consume(ch, queue)
    await other.deleteQueue(queue)
    await inbox.until(() => inbox.cancelled)
    await ch.assertQueue(queue)
    expect((await consume(ch, queue)).consumerTag).not.toBe(inbox.consumerTag)
  })

  test('a consumer that was cancelled gets nothing more and may still acknowledge', async () => {
    const ch = await channel(url)
    const queue = fresh('cancel')
    await ch.assertQueue(queue)
    const inbox = await consume(ch, queue)
    await send(ch, queue, ['1'])
    await inbox.upTo(1)
    await ch.cancel(inbox.consumerTag)
    await send(ch, queue, ['2'])
    ch.ack(inbox.all[0]!)
    expect(await drain(ch, queue)).toEqual(['2'])
    expect(inbox.texts).toEqual(['1'])
  })

  test('a transaction publishes and acknowledges on commit, and does neither on rollback', async () => {
    const ch = await channel(url)
    const queue = fresh('tx')
    await ch.assertQueue(queue)
    await send(ch, queue, ['1'])
    const raw = (await (await client(url)).createChannel()) as unknown as TxChannel
    await raw.rpc(tx.select, {}, tx.select + 1)
    raw.sendToQueue(queue, Buffer.from('2'))
    const got = await raw.get(queue)
    raw.ack(got)
    expect((await ch.checkQueue(queue)).messageCount).toBe(0)
    await raw.rpc(tx.rollback, {}, tx.rollback + 1)
    raw.ack(got)
    raw.sendToQueue(queue, Buffer.from('3'))
    await raw.rpc(tx.commit, {}, tx.commit + 1)
    expect(await drain(ch, queue)).toEqual(['3'])
  })
})

/** amqplib has no transactions of its own, but a way to send any method. */
type TxChannel = {
  rpc(method: number, fields: object, expected: number): Promise<unknown>
  sendToQueue(queue: string, body: Buffer): void
  get(queue: string): Promise<unknown>
  ack(message: unknown): void
}
const tx = { select: (90 << 16) + 10, commit: (90 << 16) + 20, rollback: (90 << 16) + 30 }
