import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type Code, Failure, failures, RemoteError } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { backoffMs } from '../../../src/core/base/retry.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { check } from '../../../src/core/rpc/check.ts'
import { rememberLast } from '../../../src/core/rpc/duplicates.ts'
import { unwrap, wrap } from '../../../src/core/rpc/envelope.ts'
import { readFailure, translations, writeFailure } from '../../../src/core/rpc/failure.ts'
import { readContext } from '../../../src/core/rpc/request-context.ts'
import { brokers, context, join, later, plain, Secret, type TestBroker, Toys, toys } from './kit.ts'

type Message = NonNullable<Parameters<Parameters<Awaited<ReturnType<typeof plain>>['channel']['consume']>[1]>[0]>

describe.each(brokers)('what oslo.messaging sees on %s', (_name, open) => {
  let broker: TestBroker
  let bus: Bus
  let peer: Awaited<ReturnType<typeof plain>>
  beforeAll(async () => {
    broker = await open()
    bus = await join(broker.url)
    peer = await plain(broker.url)
  })
  afterAll(async () => {
    await Promise.all([bus.close(), peer.close()])
    await broker.drop()
  })
  /** A queue of a peer, bound as a Python server binds it; resolves with the next message. */
  const listen = async (topic: string): Promise<() => Promise<Message>> => {
    await peer.channel.assertExchange('nova', 'topic', { durable: true })
    await peer.channel.assertQueue(topic, { durable: false })
    await peer.channel.bindQueue(topic, 'nova', topic)
    let next = later<Message>()
    await peer.channel.consume(topic, (m) => m && next.resolve(m), { noAck: true })
    return async () => {
      const message = await next.promise
      next = later()
      return message
    }
  }
  const inner = (message: Message) => {
    const outer = JSON.parse(message.content.toString())
    expect(Object.keys(outer)).toEqual(['oslo.version', 'oslo.message'])
    expect(outer['oslo.version']).toBe('2.0')
    return JSON.parse(outer['oslo.message'])
  }
  const contextKeys = {
    _context_user_id: 'ann',
    _context_project_id: 'demo',
    _context_roles: ['member'],
    _context_is_admin: false,
    _context_request_id: expect.stringMatching(/^req-/),
    _context_global_request_id: null,
    _context_timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/),
    _context_read_deleted: 'no',
    _context_user_name: 'ann',
    _context_project_name: 'demo',
    _context_user: 'ann',
    _context_project: 'demo',
  }

  test('a call, and its answer', async () => {
    const next = await listen('toys.python')
    const answer = bus.client(Toys, { server: 'python' }).add(context(), { a: 1, b: 2 }, { timeoutMs: 2_500 })
    const message = await next()
    expect(message.properties).toMatchObject({
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      deliveryMode: 1,
      priority: 0,
      headers: {},
      expiration: '2500',
      userId: new URL(broker.url).username,
    })
    expect(message.properties.replyTo ?? message.properties.correlationId).toBeUndefined()
    const sent = inner(message)
    expect(sent).toEqual({
      method: 'add',
      args: { a: 1, b: 2 },
      version: '1.0',
      _msg_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      _reply_q: expect.stringMatching(/^reply_[0-9a-f]{32}$/),
      _timeout: null,
      _unique_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      ...contextKeys,
    })
    expect(Object.keys(sent).filter((key) => key.includes('token'))).toEqual([])
    peer.channel.publish(
      '',
      sent._reply_q,
      wrap(JSON.stringify({ result: { sum: 3 }, failure: null, ending: true, _msg_id: sent._msg_id })),
    )
    expect(await answer).toEqual({ sum: 3 })
  })

  test('a cast in a namespace has no reply keys and does not expire', async () => {
    const next = await listen('toys.cast')
    await bus.client(Toys, { server: 'cast' }).drop(context(), { what: 'x' })
    const message = await next()
    expect(message.properties.expiration).toBeUndefined()
    expect(inner(message)).toEqual({
      method: 'drop',
      args: { what: 'x' },
      version: '1.0',
      _unique_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      ...contextKeys,
    })
    void bus
      .client(Secret, { server: 'cast' })
      .whisper(context(), {}, { timeoutMs: 100 })
      .catch(() => undefined)
    expect(inner(await next())).toMatchObject({ namespace: 'secret', version: '2.0' })
  })

  test('an answer and a failure as a Python caller gets them; and a fanout', async () => {
    const { stop } = await bus.serve(
      [served(Toys, toys({ break: async () => Promise.reject(new Failure('InstanceNotFound', { id: 'u1' })) }))],
      { server: 'ours', slots: 1, shared: false },
    )
    const { queue } = await peer.channel.assertQueue('reply_python', { exclusive: true })
    let next = later<Message>()
    await peer.channel.consume(queue, (m) => m && next.resolve(m), { noAck: true })
    const ask = (method: string, args: object) => {
      next = later()
      const message = {
        method,
        args,
        version: '1.0',
        _msg_id: 'id',
        _reply_q: queue,
        _timeout: null,
        _unique_id: systemIds.hex(),
      }
      peer.channel.publish('nova', 'toys.ours', wrap(JSON.stringify(message)))
      return next.promise
    }
    const good = await ask('add', { a: 1, b: 1 })
    expect(good.fields).toMatchObject({ exchange: '', routingKey: queue })
    expect(good.properties).toMatchObject({
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      deliveryMode: 1,
    })
    expect(inner(good)).toEqual({
      result: { sum: 2 },
      failure: null,
      ending: true,
      _msg_id: 'id',
      _unique_id: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    const bad = inner(await ask('break', { how: '' }))
    expect(bad).toMatchObject({ result: null, ending: true })
    expect(JSON.parse(bad.failure)).toMatchObject({
      class: 'InstanceNotFound',
      module: 'nova.exception',
      message: 'No instance "u1".',
      tb: [],
      args: ['No instance "u1".'],
      kwargs: { code: 404 },
    })
    await peer.channel.assertExchange('toys_fanout', 'fanout', { durable: false, autoDelete: true })
    await stop()
  })
})

describe('failures on the wire', () => {
  const samples: { [C in Code]?: object } = {
    AmbiguousName: { kind: 'instance', name: 'web', ids: ['1', '2'] },
    InstanceInvalidState: { name: 'web', state: 'PAUSED', verb: 'stop', allowed: ['ACTIVE'] },
  }
  test.each(Object.keys(failures) as Code[])('%s comes back as itself', (code) => {
    const params = { id: 'x', name: 'n', what: 'w', why: 'y', url: 'u', reason: 'r', ...samples[code] }
    const sent = new Failure(code, params as never)
    const got = readFailure(writeFailure(sent, 'req-1'), 'req-2')
    expect(got).toBeInstanceOf(Failure)
    expect(got).toMatchObject({ code, params: sent.params, message: sent.message })
  })

  test('no class of Python is translated to two codes', () => {
    const classes = (Object.keys(translations) as Code[]).map((code) => failures[code].python)
    expect(new Set(classes).size).toBe(classes.length)
  })

  const python = (name: string, kwargs: object, module = 'nova.exception') =>
    readFailure(
      JSON.stringify({ class: name, module, message: 'said in Python', tb: ['Traceback\n', ' x\n'], args: [], kwargs }),
      'req-1',
    )

  test('what Python raises is ours where it means exactly one of ours', () => {
    expect(python('InstanceNotFound', { instance_id: 'u1', code: 404 })).toMatchObject({
      code: 'InstanceNotFound',
      params: { id: 'u1' },
    })
    expect(python('ComputeHostNotFound', { host: 'h' })).toMatchObject({ code: 'HostNotFound', params: { id: 'h' } })
    expect(python('NoValidHost', { reason: 'full' })).toMatchObject({ code: 'NoValidHost', params: { reason: 'full' } })
    expect(python('Forbidden', {})).toMatchObject({ code: 'Forbidden', message: 'said in Python' })
    const paused = { attr: 'vm_state', instance_uuid: 'u1', state: 'paused', method: 'stop' }
    expect(python('InstanceInvalidState', paused)).toMatchObject({
      message: 'Cannot stop u1: it is paused.',
      hint: undefined,
    })
    expect(python('TooManyInstances', { overs: 'cores', req: 1, used: '4', allowed: 4 })).toMatchObject({
      message: 'Quota exceeded: cores 4 used + 1 wanted > 4 allowed.',
    })
    expect(python('FlavorExists', { name: 'tiny' })).toMatchObject({ code: 'FlavorExists', params: { name: 'tiny' } })
  })

  test('and RemoteError where it does not', () => {
    for (const e of [
      python('InstanceNotFound', {}),
      python('InstanceInvalidState', { state: 'x' }),
      python('TooManyInstances', { overs: 'cores' }),
      python('InstanceNotFound', { instance_id: 'u1' }, 'other.exception'),
      python('ValueError', {}, 'builtins'),
    ]) {
      expect(e).toBeInstanceOf(RemoteError)
      expect(e).toMatchObject({ remoteMessage: 'said in Python', requestId: 'req-1', remoteStack: 'Traceback\n x\n' })
    }
  })
})

describe('small parts', () => {
  test('the envelope keeps what is put in', () => {
    for (const value of [{ a: 'ü"\\\n\u2028' }, [1], 'x', 0, null])
      expect(unwrap(wrap(JSON.stringify(value)))).toEqual(value)
    expect(unwrap(Buffer.from('{"method":"bare"}'))).toEqual({ method: 'bare' })
  })

  test('a context with nothing in it is nobody, with a request id of its own', () => {
    const nobody = { userId: '', projectId: '', roles: [], isAdmin: false, requestId: expect.stringMatching(/^req-/) }
    expect(readContext({}, systemIds)).toEqual(nobody)
    expect(readContext({ _context_roles: [1, 'r'], _context_is_admin: 1, _context_user: 'u' }, systemIds)).toEqual({
      ...nobody,
      roles: ['r'],
      userId: 'u',
    })
  })

  test('the memory for duplicates forgets the oldest', () => {
    const last = rememberLast(3)
    const known = (ids: string) => [...ids].filter(last.has).join('')
    for (const id of 'abcdd') last.add(id)
    expect(known('abcd')).toBe('abcd')
    for (const id of 'efg') last.add(id)
    expect(known('abcdefg')).toBe('defg')
  })

  test('attempts to come back are spaced out from 0.1 s to 5 s', () => {
    expect([0, 1, 2, 5, 6, 60].map((attempt) => backoffMs(attempt, 0))).toEqual([100, 200, 400, 3200, 5000, 5000])
    expect(backoffMs(0, 0.999)).toBeGreaterThan(50)
  })

  test('what is wrong is said in one line: where, what, and how much more', () => {
    const Shape = z.object({
      a: z.union([z.string(), z.object({ deep: z.object({ n: z.int() }) })]),
      list: z.array(z.enum(['x', 'y'])),
    })
    expect(() => check(Shape, { a: { deep: { n: 'one' } }, list: ['x', 'z'] }, 'paint')).toThrow(
      'paint: a.deep.n: Invalid input: expected number, received string (and 1 more)',
    )
    expect(() => check(Shape, { a: '', list: ['x', 'z'] }, 'paint')).toThrow(
      'paint: list.1: Invalid option: expected one of "x"|"y"',
    )
    expect(() => check(z.string(), undefined, 'x')).toThrow('x: Invalid input: expected string, received undefined')
  })
})
