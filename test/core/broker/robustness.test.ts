import { connect as dial } from 'node:net'
import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { emptyTable } from '../../../src/core/broker/field-table.ts'
import { frame } from '../../../src/core/broker/frames.ts'
import { protocolHeader } from '../../../src/core/broker/handshake.ts'
import { methodKey, methods } from '../../../src/core/broker/methods.ts'
import { writeHeader } from '../../../src/core/broker/properties.ts'
import { channel, closeClients, drain, fresh, portOf, send, startTestBroker } from './kit.ts'
import { frameOf, methodFrame, RawPeer } from './raw-peer.ts'

const broker = await startTestBroker()
const port = portOf(broker)
const url = `amqp://guest:guest@127.0.0.1:${port}`
afterAll(() => broker.close())
closeClients()

const opened = async (): Promise<RawPeer> => {
  const peer = new RawPeer(port)
  await peer.open()
  return peer
}

const none = Buffer.alloc(0)
const publish = methodFrame(1, 'basic.publish', {
  ticket: 0,
  exchange: '',
  routingKey: 'x',
  mandatory: false,
  immediate: false,
})
const consumeArgs = { ticket: 0, queue: 'x', noLocal: false, noAck: true, exclusive: false, nowait: false } as const

/** What a peer may do wrong, and the reply code that ends its connection. */
const mistakes: Array<[string, Buffer, number]> = [
  ['an unknown frame type', frameOf(7, 1, none), 501],
  ['a frame without its end', Buffer.concat([frameOf(frame.method, 1, none).subarray(0, 7), Buffer.from([0])]), 501],
  ['a frame larger than agreed', Buffer.from([1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0]), 501],
  ['a heartbeat on a channel', frameOf(frame.heartbeat, 1, none), 501],
  ['a method frame without a method', frameOf(frame.method, 1, Buffer.from([0, 60])), 502],
  ['a method cut short', frameOf(frame.method, 1, Buffer.from([0, 60, 0, 20, 0])), 502],
  ['a short string longer than its frame', frameOf(frame.method, 1, Buffer.from([0, 60, 0, 40, 0, 0, 200, 1])), 502],
  ['a method that does not exist', frameOf(frame.method, 1, Buffer.from([0, 60, 0, 99])), 503],
  ['a method that only servers send', methodFrame(1, 'queue.bind-ok', {}), 503],
  ['a second connection.open', methodFrame(0, 'connection.open-ok', { knownHosts: '' }), 503],
  ['a channel that is not open', methodFrame(2, 'tx.select', {}), 504],
  ['a channel that is open already', methodFrame(1, 'channel.open', { outOfBand: '' }), 504],
  ['a channel over channel-max', methodFrame(60_000, 'channel.open', { outOfBand: '' }), 530],
  ['content on channel 0', frameOf(frame.body, 0, none), 505],
  ['a body before its method', frameOf(frame.body, 1, none), 505],
  ['a header before its method', frameOf(frame.header, 1, writeHeader(0, {})), 505],
  ['a method where a header is due', Buffer.concat([publish, methodFrame(1, 'tx.select', {})]), 505],
  ['a body where a header is due', Buffer.concat([publish, frameOf(frame.body, 1, none)]), 505],
  ['a header cut short', Buffer.concat([publish, frameOf(frame.header, 1, Buffer.from([0, 60, 0, 0]))]), 502],
  [
    'a header whose properties are cut short',
    Buffer.concat([publish, frameOf(frame.header, 1, writeHeader(0, { contentType: 'text/plain' }).subarray(0, -4))]),
    502,
  ],
  [
    'a body larger than announced',
    Buffer.concat([publish, frameOf(frame.header, 1, writeHeader(1, {})), frameOf(frame.body, 1, Buffer.alloc(2))]),
    501,
  ],
  [
    'an immediate message',
    Buffer.concat([
      methodFrame(1, 'basic.publish', { ticket: 0, exchange: '', routingKey: '', mandatory: false, immediate: true }),
      frameOf(frame.header, 1, writeHeader(0, {})),
    ]),
    540,
  ],
  [
    'a table nested without end',
    frameOf(
      frame.method,
      1,
      Buffer.concat([
        Buffer.from([0, 60, 0, 20, 0, 0, 0, 0, 0]),
        ...Array.from({ length: 400 }, (_, i) => {
          const part = Buffer.from([0, 0, 0, 0, 1, 0x61, 0x46])
          part.writeUInt32BE(400 * 7 - i * 7 - 4)
          return part
        }),
      ]),
    ),
    502,
  ],
]

describe('a broker and a peer that breaks the rules', () => {
  test.each(mistakes)('%s ends the connection with its code, and nothing else', async (_what, bytes, code) => {
    const peer = await opened()
    peer.write(bytes)
    expect((await peer.hears('connection.close')).replyCode).toBe(code)
    peer.send(0, 'connection.close-ok', {})
    await peer.closed
    await works()
  })

  test('a peer of another protocol is told which one is spoken here', async () => {
    for (const greeting of ['GET / HTTP/1.1\r\n\r\n', 'AMQP\0\x01\0\0', 'AMQP\x03\x01\0\0', 'x']) {
      const socket = dial(port, '127.0.0.1')
      const answer: Buffer[] = []
      socket.on('data', (chunk) => answer.push(chunk))
      socket.write(greeting)
      await new Promise((resolve) => socket.once('close', resolve))
      expect(Buffer.concat(answer)).toEqual(protocolHeader)
    }
  })

  test('nothing but the next step of the handshake is listened to', async () => {
    const peer = new RawPeer(port)
    peer.write(protocolHeader)
    await peer.hears('connection.start')
    peer.send(0, 'connection.open', { virtualHost: '/', capabilities: '', insist: false })
    expect((await peer.hears('connection.close')).replyCode).toBe(503)
    peer.hangUp()
  })

  test('a login that an old client gets wrong ends without a word', async () => {
    const peer = new RawPeer(port)
    peer.write(protocolHeader)
    await peer.hears('connection.start')
    const response = Buffer.from('\0guest\0wrong')
    peer.send(0, 'connection.start-ok', { clientProperties: emptyTable, mechanism: 'PLAIN', response, locale: '' })
    await peer.closed
    expect(peer.heard).toHaveLength(1)
  })

  test('bytes that come one by one are understood', async () => {
    const ch = await channel(url)
    const queue = fresh('slow')
    await ch.assertQueue(queue)
    const peer = await opened()
    const bytes = Buffer.concat([
      methodFrame(1, 'basic.publish', {
        ticket: 0,
        exchange: '',
        routingKey: queue,
        mandatory: false,
        immediate: false,
      }),
      frameOf(frame.header, 1, writeHeader(5, { contentType: 'text/plain' })),
      frameOf(frame.body, 1, Buffer.from('he')),
      frameOf(frame.body, 1, Buffer.from('llo')),
    ])
    peer.socket.setNoDelay(true)
    for (const byte of bytes) {
      await new Promise((resolve) => peer.socket.write(Buffer.from([byte]), resolve))
    }
    await vi.waitFor(async () => expect((await ch.checkQueue(queue)).messageCount).toBe(1))
    expect(await drain(ch, queue)).toEqual(['hello'])
    peer.hangUp()
  })

  test('frames that follow a closed channel are ignored until it is open again', async () => {
    const peer = await opened()
    peer.send(1, 'basic.consume', { ...consumeArgs, queue: fresh('none'), consumerTag: '', arguments: emptyTable })
    peer.send(1, 'basic.qos', { prefetchSize: 1, prefetchCount: 0, global: false })
    peer.write(publish, frameOf(frame.header, 1, writeHeader(3, {})), frameOf(frame.body, 1, Buffer.from('abc')))
    expect((await peer.hears('channel.close')).replyCode).toBe(404)
    peer.heard.length = 0
    peer.send(1, 'channel.close-ok', {})
    peer.send(1, 'channel.open', { outOfBand: '' })
    await peer.hears('channel.open-ok')
    peer.hangUp()
  })
})

/** Whether others are still served. */
async function works(): Promise<void> {
  const ch = await channel(url)
  const queue = fresh('works')
  await ch.assertQueue(queue, { autoDelete: true })
  await send(ch, queue, ['x'])
  expect(await drain(ch, queue)).toEqual(['x'])
  await ch.deleteQueue(queue)
}

/** Whole frames of every method with arguments that make no sense, content frames, and plain noise. */
const noise = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 4,
    arbitrary: fc
      .record({
        name: fc.constantFrom(...(Object.keys(methods) as Array<keyof typeof methods>)),
        channel: fc.constantFrom(0, 1, 1, 1, 2, 65_535),
        rest: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ name, channel: number, rest }) => {
        const key = Buffer.alloc(4)
        key.writeUInt32BE(methodKey(name))
        return frameOf(frame.method, number, Buffer.concat([key, Buffer.from(rest)]))
      }),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        type: fc.constantFrom(2, 3, 8),
        channel: fc.constantFrom(0, 1),
        rest: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ type, channel: number, rest }) => frameOf(type, number, Buffer.from(rest))),
  },
  {
    weight: 2,
    arbitrary: fc.uint8Array({ minLength: 2, maxLength: 40 }).map((flags) => {
      const header = Buffer.concat([writeHeader(3, {}).subarray(0, 12), Buffer.from(flags)])
      return Buffer.concat([publish, frameOf(frame.header, 1, header), frameOf(frame.body, 1, Buffer.from('abc'))])
    }),
  },
)

describe('a broker under fire', () => {
  test('no bytes kill it, and no connection outlives its peer', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(noise, { minLength: 1, maxLength: 12 }), async (greeted, shots) => {
        const peer = new RawPeer(port)
        if (greeted) await peer.open()
        for (const shot of shots) peer.write(shot)
        peer.socket.end()
        await peer.closed
      }),
      { numRuns: 300 },
    )
    await vi.waitFor(() => expect(broker.stats().connections).toBe(0), { timeout: 20_000 })
    await works()
    expect(broker.stats().messageBytes).toBe(0)
  })
})
