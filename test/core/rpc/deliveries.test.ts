import type { ConsumeMessage } from 'amqplib'
import { expect, test } from 'vitest'
import { readDelivery } from '../../../src/core/rpc/envelope.ts'

const mib = 1 << 20
const delivery = (bytes: number, exchange: string, more: { redelivered?: boolean; userId?: string } = {}) =>
  ({
    content: Buffer.from(JSON.stringify('x'.repeat(bytes - 2))),
    fields: { exchange, redelivered: more.redelivered ?? false },
    properties: { userId: more.userId },
  }) as unknown as ConsumeMessage

test.each([
  ['anybody', delivery(16 * mib, 'nova'), delivery(16 * mib + 1, 'nova')],
  ['a host, by its exchange', delivery(8 * mib, 'nova_hosts'), delivery(8 * mib + 1, 'nova_hosts')],
  ['a host, by a queue of its own', delivery(8 * mib, 'compute.h1'), delivery(8 * mib + 1, 'compute.h1')],
  ['a host, by its login', delivery(8 * mib, '', { userId: 'host.h1' }), delivery(9 * mib, '', { userId: 'host.h1' })],
])('what %s may not send is not read', (_who, allowed, tooLarge) => {
  expect(readDelivery(allowed)).toHaveLength(allowed.content.length - 2)
  expect(() => readDelivery(tooLarge)).toThrow(/its sender may send/)
})

test('a large message that comes again is not read, a small one is', () => {
  expect(() => readDelivery(delivery(3 * mib, 'nova', { redelivered: true }))).toThrow(/may have killed its reader/)
  expect(readDelivery(delivery(mib, 'nova', { redelivered: true }))).toHaveLength(mib - 2)
})

test('a body of lists costs little, whether it is an envelope or in one', () => {
  const lists = `[${'[],'.repeat(5 * mib)}[]]`
  for (const text of [lists, JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': lists })]) {
    const before = process.memoryUsage().rss
    const began = performance.now()
    const message = { ...delivery(2, 'nova'), content: Buffer.from(text) }
    expect(() => readDelivery(message)).toThrow(/more than 1000000 values/)
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * mib)
    expect(performance.now() - began).toBeLessThan(5_000)
  }
})

test('text in a string is not counted', () => {
  const text = '[{,"\\'.repeat(400_000)
  expect(readDelivery({ ...delivery(2, 'nova'), content: Buffer.from(JSON.stringify(text)) })).toBe(text)
})
