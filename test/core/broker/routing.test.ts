import type { ConfirmChannel, GetMessage } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { buses, channel, closeClients, consume, drain, fresh, refusal, send } from './kit.ts'

const both = await buses()
closeClients()

/** Queues bound to an exchange by these patterns or headers; which of them a message reached. */
async function bound(ch: ConfirmChannel, type: string, bindings: Array<[string, Record<string, unknown>?]>) {
  const exchange = fresh(type)
  await ch.assertExchange(exchange, type)
  const queues = new Map<string, string>()
  for (const [i, [pattern, args]] of bindings.entries()) {
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.bindQueue(queue, exchange, pattern, args)
    queues.set(queue, args ? String(i) : pattern)
  }
  return async (key: string, headers?: Record<string, unknown>): Promise<string[]> => {
    ch.publish(exchange, key, Buffer.from('x'), headers ? { headers } : {})
    await ch.waitForConfirms()
    const reached: string[] = []
    for (const [queue, pattern] of queues) {
      for (const _ of await drain(ch, queue)) reached.push(pattern)
    }
    return reached.sort()
  }
}

describe.each(both)('where messages go, on $name', ({ url }) => {
  test('topic patterns: words, stars, hashes, and their edges', async () => {
    const patterns = ['a.b', 'a.*', '*.b', '#', 'a.#', '#.b', '*', '', 'a.*.c', 'a.#.c', '#.b.#', '*.#.*', '..', '#.#']
    const reached = await bound(
      await channel(url),
      'topic',
      patterns.map((pattern) => [pattern]),
    )
    const matches = {
      'a.b': ['#', '#.#', '#.b', '#.b.#', '*.#.*', '*.b', 'a.#', 'a.*', 'a.b'],
      a: ['#', '#.#', '*', 'a.#'],
      b: ['#', '#.#', '#.b', '#.b.#', '*'],
      'a.b.c': ['#', '#.#', '#.b.#', '*.#.*', 'a.#', 'a.#.c', 'a.*.c'],
      'a.c': ['#', '#.#', '*.#.*', 'a.#', 'a.#.c', 'a.*'],
      'a.b.x.c': ['#', '#.#', '#.b.#', '*.#.*', 'a.#', 'a.#.c'],
    }
    for (const [key, expected] of Object.entries(matches)) expect([key, await reached(key)]).toEqual([key, expected])
    // What empty words match is nowhere written down: the same on both. An empty key has no word at all.
    expect(await reached('')).toEqual(['', '#', '#.#'])
    expect(await reached('..')).toEqual(['#', '#.#', '*.#.*', '..'])
    expect(await reached('a.')).toEqual(['#', '#.#', '*.#.*', 'a.#', 'a.*'])
  })

  test('a key may hold a star or a hash that is no wildcard', async () => {
    const reached = await bound(await channel(url), 'topic', [['a.*'], ['a.#'], ['a.b']])
    expect(await reached('a.*')).toEqual(['a.#', 'a.*'])
    expect(await reached('a.#')).toEqual(['a.#', 'a.*'])
  })

  test('headers: all, any, presence, numbers of any width, and names that do not count', async () => {
    const reached = await bound(await channel(url), 'headers', [
      ['', { 'x-match': 'all', a: 1, b: 'two' }],
      ['', { 'x-match': 'any', a: 1, b: 'two' }],
      ['', { 'x-match': 'all', a: null }],
      ['', { a: 1 }],
      ['', { 'x-match': 'all' }],
      ['', { 'x-match': 'any' }],
      ['', { 'x-match': 'all', 'x-secret': 'yes', a: 1 }],
      ['', { 'x-match': 'any-with-x', 'x-secret': 'yes' }],
    ])
    expect(await reached('', { a: 1, b: 'two' })).toEqual(['0', '1', '2', '3', '4', '6'])
    expect(await reached('', { a: { '!': 'int64', value: 1 } })).toEqual(['1', '2', '3', '4', '6'])
    expect(await reached('', { a: '1' })).toEqual(['2', '4'])
    expect(await reached('', { b: 'two', 'x-secret': 'yes' })).toEqual(['1', '4', '7'])
    expect(await reached('')).toEqual(['4'])
  })

  test('a direct exchange goes by the exact key, and a queue bound twice gets a message once', async () => {
    const ch = await channel(url)
    const exchange = fresh('direct')
    await ch.assertExchange(exchange, 'direct')
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.bindQueue(queue, exchange, 'k')
    await ch.bindQueue(queue, exchange, 'k')
    await ch.bindQueue(queue, exchange, 'k', { other: 1 })
    for (const key of ['k', 'K', 'k.']) ch.publish(exchange, key, Buffer.from(key))
    await ch.waitForConfirms()
    expect(await drain(ch, queue)).toEqual(['k'])
    await ch.unbindQueue(queue, exchange, 'k')
    ch.publish(exchange, 'k', Buffer.from('still bound'))
    await ch.unbindQueue(queue, exchange, 'k', { other: 1 })
    ch.publish(exchange, 'k', Buffer.from('not bound'))
    await ch.waitForConfirms()
    expect(await drain(ch, queue)).toEqual(['still bound'])
  })

  test('exchanges feed one another, in circles too, and each queue gets one', async () => {
    const ch = await channel(url)
    const [a, b] = [fresh('a'), fresh('b')]
    await ch.assertExchange(a, 'fanout')
    await ch.assertExchange(b, 'fanout', { internal: true })
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.bindExchange(b, a, '')
    await ch.bindExchange(a, b, '')
    await ch.bindQueue(queue, a, '')
    await ch.bindQueue(queue, b, '')
    ch.publish(a, '', Buffer.from('1'))
    await ch.waitForConfirms()
    expect(await drain(ch, queue)).toEqual(['1'])
    const answer = await refusal(ch, () => ch.publish(b, '', Buffer.from('2')))
    expect(answer.code).toBe(403)
    expect(answer.text).toContain(`cannot publish to internal exchange '${b}'`)
  })

  test('an alternate exchange takes what finds no way', async () => {
    const ch = await channel(url)
    const [main, rest] = [fresh('main'), fresh('rest')]
    await ch.assertExchange(rest, 'fanout')
    await ch.assertExchange(main, 'direct', { alternateExchange: rest })
    const { queue } = await ch.assertQueue('', { exclusive: true })
    const { queue: caught } = await ch.assertQueue('', { exclusive: true })
    await ch.bindQueue(queue, main, 'known')
    await ch.bindQueue(caught, rest, '')
    for (const key of ['known', 'unknown']) ch.publish(main, key, Buffer.from(key), { mandatory: true })
    await ch.waitForConfirms()
    expect([await drain(ch, queue), await drain(ch, caught)]).toEqual([['known'], ['unknown']])
  })

  test('an auto-delete exchange goes with its last binding', async () => {
    const [ch, other] = [await channel(url), await channel(url)]
    const exchange = fresh('auto')
    await ch.assertExchange(exchange, 'fanout', { autoDelete: true })
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.checkExchange(exchange)
    await ch.bindQueue(queue, exchange, '')
    await ch.deleteQueue(queue)
    expect((await refusal(other, () => other.checkExchange(exchange))).code).toBe(404)
  })

  test('CC and BCC send a message to further keys, and nobody sees BCC', async () => {
    const ch = await channel(url)
    const queues = [fresh('to'), fresh('cc'), fresh('bcc')] as const
    for (const queue of queues) await ch.assertQueue(queue)
    const headers = { CC: [queues[1]], BCC: [queues[2]], kept: 'yes' }
    ch.sendToQueue(queues[0], Buffer.from('x'), { headers })
    await ch.waitForConfirms()
    for (const queue of queues) {
      const got = await ch.get(queue, { noAck: true })
      expect(got || undefined).toBeDefined()
      expect((got as GetMessage).properties.headers).toEqual({ CC: [queues[1]], kept: 'yes' })
    }
  })

  test('an unroutable mandatory message comes back before its confirm; another is just confirmed', async () => {
    const ch = await channel(url)
    const story: string[] = []
    ch.on('return', (message) => {
      const { replyCode, replyText, exchange, routingKey } = message.fields as unknown as Record<string, unknown>
      story.push(`return ${replyCode} ${replyText} ${exchange}/${routingKey} ${message.content}`)
    })
    const publish = (key: string, mandatory: boolean) =>
      ch.publish('', key, Buffer.from(key), { mandatory }, () => story.push(`confirm ${key}`))
    const queue = fresh('there')
    await ch.assertQueue(queue)
    publish('nowhere', true)
    await ch.waitForConfirms()
    publish('lost', false)
    await ch.waitForConfirms()
    publish(queue, true)
    await ch.waitForConfirms()
    expect(story).toEqual([
      'return 312 NO_ROUTE /nowhere nowhere',
      'confirm nowhere',
      'confirm lost',
      `confirm ${queue}`,
    ])
  })

  test('direct reply-to: an answer finds the channel that asked', async () => {
    const [asker, answerer] = [await channel(url), await channel(url)]
    const queue = fresh('asked')
    await answerer.assertQueue(queue)
    const replies = await consume(asker, 'amq.rabbitmq.reply-to', { noAck: true })
    await send(asker, queue, ['question'], { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' })
    const question = await answerer.get(queue, { noAck: true })
    if (!question) throw new Error('no question')
    const { replyTo, correlationId } = question.properties
    expect(replyTo).toMatch(/^amq\.rabbitmq\.reply-to\../)
    expect((await answerer.checkQueue(replyTo)).consumerCount).toBe(1)
    await send(answerer, replyTo, ['answer'], { correlationId })
    const [answer] = await replies.upTo(1)
    expect(answer?.content.toString()).toBe('answer')
    expect(answer?.properties.correlationId).toBe('7')
    expect(answer?.fields.consumerTag).toBe(replies.consumerTag)
    await asker.cancel(replies.consumerTag)
    const returned = new Promise((resolve) => answerer.once('return', (message) => resolve(String(message.content))))
    await send(answerer, replyTo, ['too late'], { mandatory: true })
    expect(await returned).toBe('too late')
  })

  test.each([
    ['with acknowledgements', (ch: ConfirmChannel) => consume(ch, 'amq.rabbitmq.reply-to')],
    [
      'without a consumer',
      (ch: ConfirmChannel) => ch.sendToQueue('x', Buffer.from(''), { replyTo: 'amq.rabbitmq.reply-to' }),
    ],
    [
      'twice',
      async (ch: ConfirmChannel) => {
        await consume(ch, 'amq.rabbitmq.reply-to', { noAck: true })
        await consume(ch, 'amq.rabbitmq.reply-to', { noAck: true })
      },
    ],
  ])('direct reply-to %s is refused with 406', async (_what, action) => {
    const ch = await channel(url)
    expect((await refusal(ch, () => action(ch))).code).toBe(406)
  })
})
