import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { AmqpError } from '../../../src/core/broker/amqp-error.ts'
import { type Field, readTable, sameField, type Table, writeTable } from '../../../src/core/broker/field-table.ts'
import { FrameReader } from '../../../src/core/broker/frames.ts'
import { type Args, type MethodName, methods, readMethod, writeMethod } from '../../../src/core/broker/methods.ts'
import { bodySize, readProperties, scan, withReplyTo, writeHeader } from '../../../src/core/broker/properties.ts'
import { Reader, Writer } from '../../../src/core/broker/wire.ts'
import { channel, closeClients, portOf, startTestBroker } from './kit.ts'
import { frameOf } from './raw-peer.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each))
const short = fc.string({ unit: 'grapheme', maxLength: 20 })
const tagged = <T extends string, V>(tag: T, values: fc.Arbitrary<V>) => values.map((value) => ({ tag, value }))
const signed = (bits: number) => fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 })
const unsigned = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 })

const { table } = fc.letrec<{ field: Field; table: Table }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3 },
    tagged('t', fc.boolean()),
    tagged('b', signed(8)),
    tagged('B', unsigned(8)),
    tagged('s', signed(16)),
    tagged('u', unsigned(16)),
    tagged('I', signed(32)),
    tagged('i', unsigned(32)),
    tagged('l', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    tagged('L', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    tagged('T', fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    tagged('f', fc.float({ noNaN: true })),
    tagged('d', fc.double({ noNaN: true })),
    tagged('D', fc.record({ scale: unsigned(8), unscaled: unsigned(32) })),
    tagged('S', bytes),
    tagged('x', bytes),
    tagged('V', fc.constant(null)),
    tagged('A', fc.array(tie('field'), { maxLength: 4 })),
    tagged('F', tie('table')),
  ) as fc.Arbitrary<Field>,
  table: fc.array(fc.tuple(short, tie('field')), { maxLength: 5 }).map((pairs) => new Map(pairs)),
}))

const values = {
  octet: unsigned(8),
  short: unsigned(16),
  long: unsigned(32),
  longlong: fc.nat(Number.MAX_SAFE_INTEGER),
  shortstr: short,
  longstr: bytes,
  bit: fc.boolean(),
  table,
}
const call = fc.constantFrom(...(Object.keys(methods) as MethodName[])).chain((name) => {
  const fields = Object.entries(methods[name].fields as Record<string, keyof typeof values>)
  const args = fc.record(
    Object.fromEntries(fields.map(([field, type]) => [field, values[type] as fc.Arbitrary<unknown>])),
  )
  return fc.record({ name: fc.constant(name), args })
})
const property = fc.record(
  {
    contentType: short,
    contentEncoding: short,
    headers: table,
    deliveryMode: unsigned(8),
    priority: unsigned(8),
    correlationId: short,
    replyTo: short,
    expiration: short,
    messageId: short,
    timestamp: fc.nat(Number.MAX_SAFE_INTEGER),
    type: short,
    userId: short,
    appId: short,
    clusterId: short,
  },
  { requiredKeys: [] },
)

describe('the codec', () => {
  test('a table comes out as it went in', () => {
    fc.assert(
      fc.property(table, (value) => {
        const writer = new Writer()
        writeTable(writer, value)
        const reader = new Reader(writer.done())
        expect(readTable(reader)).toEqual(value)
        expect(reader.left).toBe(0)
        expect(sameField({ tag: 'F', value }, { tag: 'F', value: new Map(value) })).toBe(true)
      }),
    )
  })

  test('every method comes out as it went in', () => {
    fc.assert(
      fc.property(call, ({ name, args }) => {
        expect(readMethod(writeMethod(name, args as unknown as Args<typeof name>))).toEqual({ name, args })
      }),
      { numRuns: 1000 },
    )
  })

  test('a content header comes out as it went in, and a new reply-to changes nothing else', () => {
    fc.assert(
      fc.property(property, fc.nat(), short, (properties, size, replyTo) => {
        const header = writeHeader(size, properties)
        expect(bodySize(header)).toBe(size)
        expect(readProperties(header)).toEqual(properties)
        const { headers, expiration, userId, priority } = scan(header)
        expect({ headers, expiration, userId }).toEqual({
          headers: properties.headers,
          expiration: properties.expiration,
          userId: properties.userId,
        })
        expect(priority).toBe(properties.priority ?? 0)
        if (properties.replyTo === undefined) return
        expect(readProperties(withReplyTo(header, replyTo))).toEqual({ ...properties, replyTo })
      }),
    )
  })

  test('whatever is cut short is a syntax error, never another one', () => {
    fc.assert(
      fc.property(call, fc.nat(), ({ name, args }, at) => {
        const payload = writeMethod(name, args as unknown as Args<typeof name>)
        const cut = payload.subarray(0, at % payload.length)
        let thrown: unknown
        try {
          readMethod(cut)
        } catch (e) {
          thrown = e
        }
        expect(thrown).toBeInstanceOf(AmqpError)
        expect(thrown).toMatchObject({ code: 502 })
      }),
    )
  })

  test('frames come out whole, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 10 }), fc.array(fc.integer({ min: 1, max: 30 })), (payloads, cuts) => {
        const stream = Buffer.concat(payloads.map((payload, i) => frameOf(1 + (i % 3), i, payload)))
        const got: Array<[number, number, Buffer]> = []
        const reader = new FrameReader(4096, (type, number, payload) => got.push([type, number, payload]) > 0)
        let from = 0
        for (const cut of [...cuts, stream.length]) {
          reader.push(stream.subarray(from, from + cut))
          from += cut
        }
        expect(got).toEqual(payloads.map((payload, i) => [1 + (i % 3), i, payload]))
      }),
    )
  })
})

describe('the codec and amqplib', () => {
  closeClients()

  test('what amqplib sends, amqplib gets back: properties, headers of every kind, body', async () => {
    const broker = await startTestBroker()
    afterAll(() => broker.close())
    const ch = await channel(`amqp://guest:guest@127.0.0.1:${portOf(broker)}`)
    const { queue } = await ch.assertQueue('', { exclusive: true })
    const value = fc.letrec<{ value: unknown; table: Record<string, unknown> }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.boolean(),
        fc.integer(),
        fc.maxSafeInteger().filter((each) => Math.abs(each) < 2 ** 50),
        // amqplib takes larger ones for integers.
        fc.double({ noNaN: true, min: -(2 ** 49), max: 2 ** 49 }).filter((each) => !Number.isInteger(each)),
        fc.constant(null),
        bytes,
        fc.record({ '!': fc.constant('timestamp'), value: unsigned(32) }),
        fc.array(tie('value'), { maxLength: 3 }),
        tie('table'),
      ),
      table: fc.dictionary(
        fc.string({ minLength: 1, maxLength: 10 }).filter((key) => !['!', '__proto__', 'CC', 'BCC'].includes(key)),
        tie('value'),
        {
          maxKeys: 4,
          noNullPrototype: true,
        },
      ),
    }))
    const options = fc.record(
      {
        headers: value.table,
        contentType: fc.string({ minLength: 1, maxLength: 30 }),
        correlationId: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        replyTo: fc.string({ minLength: 1, maxLength: 30 }),
        messageId: fc.string({ minLength: 1, maxLength: 30 }),
        priority: unsigned(8),
        timestamp: unsigned(32),
        type: fc.string({ minLength: 1, maxLength: 30 }),
        appId: fc.string({ minLength: 1, maxLength: 30 }),
        persistent: fc.boolean(),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(options, bytes, async (sent, body) => {
        ch.sendToQueue(queue, body, sent)
        const got = await ch.get(queue, { noAck: true })
        if (!got) throw new Error('it did not arrive')
        expect(got.content).toEqual(body)
        const { persistent, headers = {}, ...rest } = sent
        expect(got.properties).toMatchObject(rest)
        expect(got.properties.headers).toEqual(headers)
        if (persistent !== undefined) expect(got.properties.deliveryMode).toBe(persistent ? 2 : 1)
      }),
      { numRuns: 300 },
    )
  })
})
