import { type ConfirmChannel, connect } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { buses, channel, client, closeClients, consume, fresh, quiet, refusal } from './kit.ts'

const both = await buses()
closeClients()

type Action = (ch: ConfirmChannel, name: string) => unknown

/** What closes a channel: the action, the code, and what the text says (`NAME` stands for the name in use). */
const soft: Array<[string, Action, number, string]> = [
  ['a passive declaration of no queue', (ch, name) => ch.checkQueue(name), 404, "NOT_FOUND - no queue 'NAME' in vhost"],
  [
    'a passive declaration of no exchange',
    (ch, name) => ch.checkExchange(name),
    404,
    "NOT_FOUND - no exchange 'NAME' in vhost",
  ],
  ['consuming from no queue', (ch, name) => consume(ch, name), 404, "NOT_FOUND - no queue 'NAME'"],
  ['getting from no queue', (ch, name) => ch.get(name), 404, "NOT_FOUND - no queue 'NAME'"],
  ['purging no queue', (ch, name) => ch.purgeQueue(name), 404, "NOT_FOUND - no queue 'NAME'"],
  ['binding no queue', (ch, name) => ch.bindQueue(name, 'amq.direct', ''), 404, "NOT_FOUND - no queue 'NAME'"],
  [
    'binding to no exchange',
    async (ch, name) => {
      const { queue } = await ch.assertQueue('', { exclusive: true })
      await ch.bindQueue(queue, name, '')
    },
    404,
    "NOT_FOUND - no exchange 'NAME'",
  ],
  [
    'publishing to no exchange',
    (ch, name) => ch.publish(name, '', Buffer.from('')),
    404,
    "NOT_FOUND - no exchange 'NAME'",
  ],
  ['a queue in the reserved name space', (ch) => ch.assertQueue('amq.mine'), 403, "contains reserved prefix 'amq.*'"],
  [
    'declaring a server-named queue by its name',
    async (ch) => {
      const { queue } = await ch.assertQueue('', { exclusive: true })
      await ch.assertQueue(queue, { exclusive: true })
    },
    403,
    "contains reserved prefix 'amq.*'",
  ],
  [
    'an exchange in the reserved name space',
    (ch) => ch.assertExchange('amq.mine', 'direct'),
    403,
    "contains reserved prefix 'amq.*'",
  ],
  ['deleting a predeclared exchange', (ch) => ch.deleteExchange('amq.direct'), 403, 'ACCESS_REFUSED - '],
  [
    'deleting the default exchange',
    (ch) => ch.deleteExchange(''),
    403,
    'operation not permitted on the default exchange',
  ],
  [
    'binding to the default exchange',
    async (ch, name) => {
      await ch.assertQueue(name, { exclusive: true })
      await ch.bindQueue(name, '', 'x')
    },
    403,
    'operation not permitted on the default exchange',
  ],
  [
    'a message that claims another user',
    (ch) => ch.publish('', 'x', Buffer.from(''), { userId: 'root' }),
    406,
    "user_id property set to 'root' but authenticated user was 'guest'",
  ],
  [
    'an expiration that is no number',
    (ch) => ch.publish('', 'x', Buffer.from(''), { expiration: 'soon' }),
    406,
    'PRECONDITION_FAILED - invalid expiration',
  ],
  [
    'a negative lifetime',
    (ch, name) => ch.assertQueue(name, { messageTtl: -1 }),
    406,
    "invalid arg 'x-message-ttl' for queue 'NAME'",
  ],
  ['an expiry of zero', (ch, name) => ch.assertQueue(name, { expires: 0 }), 406, "invalid arg 'x-expires'"],
  [
    'deleting an exchange in use',
    async (ch, name) => {
      const { queue } = await ch.assertQueue('', { exclusive: true })
      await ch.assertExchange(name, 'fanout')
      await ch.bindQueue(queue, name, '')
      await ch.deleteExchange(name, { ifUnused: true })
    },
    406,
    "exchange 'NAME' in vhost",
  ],
]

/** Declarations that do not agree with the first one. */
const differing: Array<[string, object, object, string]> = [
  ['durable', { durable: true }, { durable: false }, "inequivalent arg 'durable' for queue 'NAME'"],
  ['auto_delete', { autoDelete: false }, { autoDelete: true }, "inequivalent arg 'auto_delete' for queue 'NAME'"],
  ['a lifetime', { messageTtl: 1000 }, { messageTtl: 2000 }, "received '2000' but current is '1000'"],
  ['no lifetime', { messageTtl: 1000 }, {}, "inequivalent arg 'x-message-ttl' for queue 'NAME'"],
  ['a lifetime from now on', {}, { messageTtl: 1000 }, "inequivalent arg 'x-message-ttl' for queue 'NAME'"],
  ['an expiry', { expires: 60000 }, { expires: 70000 }, "inequivalent arg 'x-expires'"],
  ['a length', { maxLength: 1 }, { maxLength: 2 }, "inequivalent arg 'x-max-length'"],
]

/** What closes the connection. */
const hard: Array<[string, Action, number]> = [
  ['an unknown exchange type', (ch, name) => ch.assertExchange(name, 'sideways'), 503],
  [
    'a prefetch by bytes',
    (ch) => {
      const raw = ch as unknown as { rpc(method: number, fields: object, expected: number): Promise<unknown> }
      return raw.rpc((60 << 16) + 10, { prefetchSize: 1, prefetchCount: 0, global: false }, (60 << 16) + 11)
    },
    540,
  ],
  [
    'a consumer tag that is taken',
    async (ch) => {
      const { queue } = await ch.assertQueue('', { exclusive: true })
      await consume(ch, queue, { consumerTag: 'mine' })
      await consume(ch, queue, { consumerTag: 'mine' })
    },
    530,
  ],
]

describe.each(both)('what is refused, on $name', ({ url }) => {
  test.each(soft)('%s closes the channel', async (_what, action, code, text) => {
    const ch = await channel(url)
    const name = fresh('name')
    const answer = await refusal(ch, () => action(ch, name))
    expect(answer.code).toBe(code)
    expect(answer.text).toContain(text.replace('NAME', name))
    // The connection and its other channels live on.
    await quiet(await (await client(url)).createChannel()).checkExchange('amq.direct')
  })

  test.each(differing)(
    'declaring a queue again with another %s closes the channel',
    async (_what, first, then, text) => {
      const ch = await channel(url)
      const name = fresh('declared')
      await ch.assertQueue(name, first)
      await ch.assertQueue(name, first)
      const answer = await refusal(ch, () => ch.assertQueue(name, then))
      expect(answer.code).toBe(406)
      expect(answer.text).toContain(text.replace('NAME', name))
    },
  )

  test('arguments that a broker does not know are not compared', async () => {
    const ch = await channel(url)
    const name = fresh('declared')
    await ch.assertQueue(name, { arguments: { mine: 1 } })
    await ch.assertQueue(name, { arguments: { mine: 2 } })
  })

  test('a passive declaration counts messages and consumers, whatever else it says', async () => {
    const ch = await channel(url)
    const queue = fresh('counted')
    await ch.assertQueue(queue, { durable: false, autoDelete: true })
    await consume(ch, queue)
    await ch.prefetch(1)
    expect(await ch.checkQueue(queue)).toEqual({ queue, messageCount: 0, consumerCount: 1 })
  })

  test('declaring an exchange again with another type or durability closes the channel', async () => {
    for (const options of [{ type: 'fanout' }, { durable: false }, { autoDelete: true }, { internal: true }]) {
      const ch = await channel(url)
      const name = fresh('declared')
      await ch.assertExchange(name, 'direct')
      const { type = 'direct', ...rest } = options as { type?: string }
      const answer = await refusal(ch, () => ch.assertExchange(name, type, rest))
      expect(answer.code).toBe(406)
      expect(answer.text).toContain(`for exchange '${name}' in vhost`)
    }
  })

  test.each(hard)('%s closes the connection', async (_what, action, code) => {
    const model = await client(url)
    const closed = new Promise<number>((resolve) => model.once('error', (e) => resolve((e as { code?: number }).code!)))
    const ch = quiet(await model.createConfirmChannel())
    await Promise.resolve(action(ch, fresh('name'))).catch(() => undefined)
    expect(await closed).toBe(code)
  })

  test.each([
    ['a wrong password', (u: URL) => (u.password = 'wrong'), /403.*ACCESS.REFUSED/s],
    ['an unknown user', (u: URL) => (u.username = 'nobody'), /403.*ACCESS.REFUSED/s],
    ['an unknown virtual host', (u: URL) => (u.pathname = '/nowhere'), /ConnectionClose/],
  ])('%s ends the handshake', async (_what, change, text) => {
    const wrong = new URL(url)
    change(wrong)
    await expect(connect(wrong.href)).rejects.toThrow(text)
  })

  test.each([4096, 8192, 131_072])('bodies of every size pass frames of %i bytes whole', async (frameMax) => {
    const ch = quiet(await (await client(url, { frameMax })).createConfirmChannel())
    const { queue } = await ch.assertQueue('', { exclusive: true })
    const inbox = await consume(ch, queue, { noAck: true })
    const sizes = [0, 1, frameMax - 9, frameMax - 8, frameMax - 7, 2 * (frameMax - 8), 1_000_003]
    const bodies = sizes.map((size) => Buffer.alloc(size, Buffer.from(`${size}.`)))
    for (const body of bodies) ch.sendToQueue(queue, body)
    const all = await inbox.upTo(sizes.length)
    expect(all.map((each, i) => each.content.equals(bodies[i]!))).toEqual(sizes.map(() => true))
  })
})
