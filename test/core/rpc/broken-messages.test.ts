import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RemoteError } from '../../../src/core/base/errors.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { readFailure } from '../../../src/core/rpc/failure.ts'
import {
  brokers,
  context,
  envelope,
  join,
  later,
  opened,
  plain,
  recorder,
  refusal,
  type TestBroker,
  Toys,
  toys,
} from './kit.ts'

const raw = (text: string) => Buffer.from(text)
const valid = { method: 'add', args: { a: 1, b: 2 }, version: '1.0', _unique_id: 'u' }

/** Bodies that nobody can answer, because they say nothing that can be understood. */
const unreadable: Array<[string, Buffer]> = [
  ['nothing at all', Buffer.alloc(0)],
  ['a blank', raw(' ')],
  ['text', raw('hello')],
  ['broken JSON', raw('{"method":')],
  ['bytes', Buffer.from([0, 255, 254, 1, 2, 3])],
  ['null', raw('null')],
  ['a number', raw('42')],
  ['a list', raw('[{"method":"add"}]')],
  ['an envelope of version 3', raw('{"oslo.version":"3.0","oslo.message":"{}"}')],
  ['an envelope of a newer minor version', raw('{"oslo.version":"2.7","oslo.message":"{}"}')],
  ['an envelope whose version is a number', raw('{"oslo.version":2,"oslo.message":"{}"}')],
  ['an envelope without a version', raw('{"oslo.message":"{}"}')],
  ['an envelope without a message', raw('{"oslo.version":"2.0"}')],
  ['an envelope around an object', raw('{"oslo.version":"2.0","oslo.message":{"method":"add"}}')],
  ['an envelope around broken JSON', raw('{"oslo.version":"2.0","oslo.message":"{"}')],
  ['an envelope around a list', raw('{"oslo.version":"2.0","oslo.message":"[]"}')],
  ['an envelope around null', raw('{"oslo.version":"2.0","oslo.message":"null"}')],
  ['very deep JSON', raw('['.repeat(200_000))],
  ['very many lists', raw(`[${'[],'.repeat(1_000_000)}[]]`)],
  ['very many lists in an envelope', envelope(new Array(500_001).fill([]))],
]

/** Messages that can be answered with why they are wrong. */
const refused: Array<[string, Record<string, unknown>, RegExp]> = [
  ['no method', { args: {} }, /names no method: undefined/],
  ['an empty method', { method: '' }, /names no method/],
  ['a method that is a number', { method: 7 }, /names no method: 7/],
  ['a method that is an object', { method: { a: 'x'.repeat(500) } }, /names no method: .{80,100}$/],
  ['a method that nobody serves', { ...valid, method: 'fly' }, /toys has no method "fly"/],
  ['a method of every object', { ...valid, method: 'constructor' }, /no method "constructor"/],
  ['a namespace that is no text', { ...valid, namespace: 4 }, /namespace is not a text: 4/],
  ['a namespace that nobody serves', { ...valid, namespace: 'x' }, /no method "x.add"/],
  ['a version that is no text', { ...valid, version: 1 }, /speaks version 1.3, but the message has version 1/],
  ['a version that is none', { ...valid, version: '1.x' }, /the message has version 1.x/],
  ['a version too new', { ...valid, version: '1.99' }, /the message has version 1.99/],
  ['arguments that are a list', { ...valid, args: [1, 2] }, /add: the arguments are not an object/],
  ['arguments that are text', { ...valid, args: 'a=1' }, /add: the arguments are not an object: a=1/],
  [
    'a project with a blank at its end',
    { ...valid, _context_project_id: 'demo ' },
    /id of the project must be 1 to 255/,
  ],
  ['a user with a control character', { ...valid, _context_user_id: 'a\u001b[2Jb' }, /id of the user must be 1 to 255/],
  [
    'a project that is too long',
    { ...valid, _context_project_id: 'p'.repeat(256) },
    /id of the project must be 1 to 255/,
  ],
  ['no arguments', { ...valid, args: undefined }, /add: a: Invalid input: expected number/],
  ['an argument of the wrong type', { ...valid, args: { a: '1', b: 2 } }, /add: a: Invalid input/],
  ['an argument missing', { ...valid, args: { a: 1 } }, /add: b: Invalid input/],
  [
    'an argument out of range',
    { ...valid, method: 'paint', args: { colour: 'red', coats: 0 } },
    /paint: coats: at least 1/,
  ],
]

/** Messages that are odd and none the less served. */
const served_: Array<[string, Record<string, unknown>]> = [
  ['no version', { method: 'add', args: { a: 1, b: 2 } }],
  ['a namespace of null', { ...valid, namespace: null }],
  ['no context', valid],
  [
    'a context of the wrong types',
    { ...valid, _context_roles: 'admin', _context_user_id: 7, _context_is_admin: 'yes' },
  ],
  ['a request id that cannot be kept', { ...valid, _context_request_id: 'r'.repeat(3_000_000) }],
  ['unknown arguments', { ...valid, args: { a: 1, b: 2, c: 3 } }],
  ['a unique id that is no text', { ...valid, _unique_id: { x: 1 } }],
  ['a monitor interval that is none', { ...valid, _timeout: 'soon' }],
  ['a negative monitor interval', { ...valid, _timeout: -1 }],
]

describe.each(brokers)('wrong messages on %s', (_name, open) => {
  let broker: TestBroker
  let server: Bus
  let caller: Bus
  let peer: Awaited<ReturnType<typeof plain>>
  const heard = recorder()
  const replies = new Map<string, (reply: Record<string, unknown>) => void>()
  const queue = 'reply_of_a_peer'

  beforeAll(async () => {
    broker = await open()
    server = await join(broker.url, { log: heard.log })
    await server.serve([served(Toys, toys())], { server: 'h', slots: 2 })
    caller = await join(broker.url)
    peer = await plain(broker.url)
    await peer.channel.assertQueue(queue, { exclusive: true })
    await peer.channel.consume(
      queue,
      (m) => m && replies.get(opened(m.content)._msg_id as string)?.(opened(m.content)),
      {
        noAck: true,
      },
    )
  })
  afterAll(async () => {
    await Promise.all([server.close(), caller.close(), peer.close()])
    await broker.drop()
  })

  const stillWell = async () =>
    expect(await caller.client(Toys, { server: 'h' }).add(context(), { a: 20, b: 3 })).toEqual({ sum: 23 })
  const send = (body: Buffer) => peer.channel.publish('nova', 'toys.h', body)
  let count = 0
  const ask = async (message: Record<string, unknown>) => {
    const id = `ask-${count++}`
    const answered = later<Record<string, unknown>>()
    replies.set(id, answered.resolve)
    send(
      envelope({ ...message, _msg_id: id, _reply_q: queue, ...(message._unique_id === 'u' ? { _unique_id: id } : {}) }),
    )
    return answered.promise
  }

  test.each(unreadable)('%s is logged and dropped, and the next call works', async (_what, body) => {
    const before = heard.lines.length
    const warnings = () => heard.lines.slice(before).filter((line) => line.level === 40)
    send(body)
    // On a connection of its own: nothing says that it arrives before the call.
    await expect.poll(warnings, { timeout: 10_000 }).toHaveLength(1)
    await stillWell()
    expect(warnings()).toHaveLength(1)
  })

  test.each(refused)('%s is refused with a reason', async (_what, message, why) => {
    const reply = await ask(message)
    expect(reply).toMatchObject({ result: null, ending: true })
    const failure = JSON.parse(reply.failure as string)
    expect(failure).toMatchObject({ message: expect.stringMatching(why), args: [failure.message] })
    // The same as a cast: nobody to tell, and nothing dies.
    send(envelope(message))
    await stillWell()
  })

  test.each(served_)('%s is served', async (_what, message) => {
    expect(await ask(message)).toMatchObject({ result: { sum: 3 }, failure: null, ending: true })
  })

  test('a message that came by the exchange of hosts is refused, though it does not say who sent it', async () => {
    await peer.channel.assertExchange('nova_hosts', 'topic')
    await peer.channel.bindExchange('nova', 'nova_hosts', 'toys.#')
    const answered = later<Record<string, unknown>>()
    replies.set('detour', answered.resolve)
    const body = envelope({ ...valid, _unique_id: 'detour', _msg_id: 'detour', _reply_q: queue })
    peer.channel.publish('nova_hosts', 'toys.h', body)
    const { failure } = await answered.promise
    expect(failure).toContain('A host may not send requests to toys')
    await peer.channel.unbindExchange('nova', 'nova_hosts', 'toys.#')
  })

  test('a message without an envelope is served', async () => {
    const answered = later<Record<string, unknown>>()
    replies.set('bare', answered.resolve)
    send(raw(JSON.stringify({ ...valid, _unique_id: 'bare', _msg_id: 'bare', _reply_q: queue })))
    expect(await answered.promise).toMatchObject({ result: { sum: 3 } })
  })

  test.each([
    ['a reply queue that is not there', { _msg_id: 'm', _reply_q: 'reply_gone' }],
    ['a reply queue with a name too long for AMQP', { _msg_id: 'm', _reply_q: 'q'.repeat(300) }],
    ['a reply queue that is not for answers', { _msg_id: 'm', _reply_q: 'toys.h' }],
    ['a reply queue that is no text', { _msg_id: 'm', _reply_q: 5 }],
    ['an id that is no text', { _msg_id: 5, _reply_q: 'q' }],
    ['an id with quotes in it', { _msg_id: '","result":{"sum":99},"x":"', _reply_q: queue }],
  ])('%s harms nobody', async (_what, back) => {
    send(envelope({ ...valid, ...back, _unique_id: JSON.stringify(back) }))
    await stillWell()
  })

  test('wrong replies harm nobody, and the caller still gets the right one', async () => {
    const [asked, hold] = [later<string>(), later()]
    await peer.channel.assertQueue('odd.peer', { autoDelete: true })
    await peer.channel.bindQueue('odd.peer', 'nova', 'toys.peer')
    await peer.channel.consume('odd.peer', (m) => m && asked.resolve(JSON.stringify(opened(m.content))), {
      noAck: true,
    })
    const answer = caller.client(Toys, { server: 'peer' }).add(context(), { a: 1, b: 1 })
    const { _reply_q: to, _msg_id: id } = JSON.parse(await asked.promise)
    const good = { result: { sum: 2 }, failure: null, ending: true, _msg_id: id }
    for (const [, body] of unreadable) peer.channel.sendToQueue(to, body)
    const odd = [
      {},
      { _msg_id: 7 },
      { _msg_id: 'nobody' },
      { ...good, _msg_id: `${id}x` },
      { ...good, ending: false, result: null },
    ]
    for (const message of odd) peer.channel.sendToQueue(to, envelope(message))
    peer.channel.sendToQueue(to, envelope(good))
    peer.channel.sendToQueue(to, envelope(good))
    expect(await answer).toEqual({ sum: 2 })
    hold.resolve()
    await stillWell()
  })

  test('a result that is not as agreed fails the call, and so does a failure that cannot be read', async () => {
    await peer.channel.assertQueue('wrong.peer', { autoDelete: true })
    await peer.channel.bindQueue('wrong.peer', 'nova', 'toys.wrong')
    const answers: Record<string, unknown>[] = [
      { result: { sum: 'three' }, failure: null, ending: true },
      { result: null, failure: null, ending: true },
      { result: null, failure: 'no JSON', ending: true },
      { result: null, failure: ['InstanceNotFound', 'as in 2012', []], ending: true },
      {
        result: null,
        failure: '{"class":"ValueError","module":"builtins","message":"bad value","tb":["T\\n"]}',
        ending: true,
      },
      { result: { sum: 3 }, failure: null, ending: false },
    ]
    const consumed = await peer.channel.consume(
      'wrong.peer',
      (m) => {
        if (m === null) return
        const { _msg_id, _reply_q } = opened(m.content)
        peer.channel.sendToQueue(_reply_q as string, envelope({ ...answers.shift(), _msg_id }))
        if (answers.length === 0) {
          peer.channel.sendToQueue(_reply_q as string, envelope({ result: null, failure: null, ending: true, _msg_id }))
        }
      },
      { noAck: true },
    )
    const client = caller.client(Toys, { server: 'wrong' })
    const call = () => client.add(context(), { a: 1, b: 2 })
    expect(await refusal(call())).toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/sum: Invalid/),
    })
    expect(await refusal(call())).toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/"add": Invalid/),
    })
    expect(await refusal(call())).toBeInstanceOf(RemoteError)
    expect(await refusal(call())).toBeInstanceOf(RemoteError)
    expect(await refusal(call())).toMatchObject({
      remoteClass: 'ValueError',
      remoteMessage: 'bad value',
      remoteStack: 'T\n',
    })
    // The result first and the ending after it, as peers before 2014 have it.
    expect(await call()).toEqual({ sum: 3 })
    await peer.channel.cancel(consumed.consumerTag)
  })

  test('a duplicate is carried out once, while the first runs and after it', async () => {
    const [begun, hold] = [later(), later<string>()]
    let runs = 0
    const api = toys({
      slow: () => {
        runs++
        begun.resolve()
        return hold.promise
      },
    })
    const { stop } = await server.serve([served(Toys, api)], { server: 'twice', slots: 4, shared: false })
    const id = 'the-same-id'
    const answers: unknown[] = []
    const both = later()
    replies.set(id, (reply) => {
      answers.push(reply.result)
      both.resolve()
    })
    const body = envelope({ method: 'slow', args: { ms: 0 }, _msg_id: id, _reply_q: queue, _unique_id: id })
    peer.channel.publish('nova', 'toys.twice', body)
    await begun.promise
    peer.channel.publish('nova', 'toys.twice', body)
    hold.resolve('once')
    await both.promise
    peer.channel.publish('nova', 'toys.twice', body)
    await caller.client(Toys, { server: 'twice' }).add(context(), { a: 1, b: 1 })
    await stop()
    expect({ runs, answers }).toEqual({ runs: 1, answers: ['once'] })
  })

  test('signs of life go out twice in each monitor interval, and a ping is answered', async () => {
    const hold = later<string>()
    const { stop } = await server.serve([served(Toys, toys({ slow: () => hold.promise }))], {
      server: 'beats',
      slots: 1,
      shared: false,
    })
    const got: Record<string, unknown>[] = []
    const ended = later()
    replies.set('monitored', (reply) => {
      got.push(reply)
      if (got.length === 2) hold.resolve('at last')
      if (reply.ending === true) ended.resolve()
    })
    const body = {
      method: 'slow',
      args: { ms: 0 },
      _msg_id: 'monitored',
      _reply_q: queue,
      _timeout: 1,
      _unique_id: 'mon',
    }
    peer.channel.publish('nova', 'toys.beats', envelope(body))
    await ended.promise
    expect(got.slice(0, 2)).toMatchObject([
      { result: null, failure: null, ending: false },
      { result: null, failure: null, ending: false },
    ])
    expect(got.at(-1)).toMatchObject({ result: 'at last', failure: null, ending: true })
    await stop()
    expect(await ask({ method: 'oslo_rpc_server_ping', args: {} })).toMatchObject({ result: 'pong', ending: true })
  })
})

test('a failure that is a Failure of ours cannot be faked into breaking the caller', () => {
  const fake = (params: unknown) =>
    readFailure(
      JSON.stringify({ class: 'X', message: 'm', nova_code: 'InstanceInvalidState', nova_params: params }),
      'req',
    )
  for (const params of [null, 3, 'x', []]) expect(fake(params)).toBeInstanceOf(RemoteError)
  expect(readFailure('{"nova_code":"constructor","nova_params":{}}', 'r')).toBeInstanceOf(RemoteError)
  expect(readFailure('{"nova_code":"AmbiguousName","nova_params":{}}', 'r')).toBeInstanceOf(RemoteError)
})
