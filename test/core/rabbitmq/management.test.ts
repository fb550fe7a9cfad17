import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { rabbitmqBroker } from '../../../src/core/rabbitmq/broker.ts'
import { type Management, openManagement } from '../../../src/core/rabbitmq/management.ts'
import { keepNotificationsPolicy } from '../../../src/core/rabbitmq/policies.ts'
import { admin } from '../../kit/cloud.ts'

const undo: Array<() => void> = []
afterEach(() => {
  for (const fn of undo.splice(0)) fn()
})

/** A peer that answers everything so. */
async function answering(status: number, body: string, seen: string[] = []): Promise<string> {
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  undo.push(() => server.close())
  return `http://keeper:s%20cret@127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An address at which nothing listens. */
async function gone(): Promise<string> {
  const url = await answering(200, '')
  for (const fn of undo.splice(0)) fn()
  return url
}

test('each piece of a path is encoded, and the login is the URL’s', async () => {
  const seen: string[] = []
  const ask = openManagement(await answering(200, '{"ok":true}', seen), systemClock)
  expect(await ask('GET', ['queues', '/', 'a/b c'])).toEqual({ ok: true })
  const login = Buffer.from('keeper:s cret').toString('base64')
  expect(seen).toEqual([`GET /api/queues/%2F/a%2Fb%20c Basic ${login}`])
})

test.each<[string, () => Promise<string>, RegExp, RegExp]>([
  ['nothing listens', gone, /nothing listens there/, /rabbitmq-plugins enable rabbitmq_management/],
  [
    'refuses the user',
    () => answering(401, '{"reason":"Not_Authorized"}'),
    /refused the user \(401 Not_Authorized\)/,
    /docs\/rabbitmq/,
  ],
  ['is something else', () => answering(200, '<html>'), /the answer is not JSON/, /rabbitmq-plugins/],
  [
    'has no such thing',
    () => answering(404, '{"reason":"Not Found"}'),
    /GET overview: 404 Not Found/,
    /rabbitmq-plugins/,
  ],
])('a management that %s says so without its password', async (_what, url, says, hint) => {
  const failure = await openManagement(await url(), systemClock)('GET', ['overview']).catch((e: unknown) => e)
  if (!isFailure(failure, 'ManagementFailed')) throw failure
  expect(failure.message).toMatch(says)
  expect(failure.hint).toMatch(hint)
  expect(`${failure.message} ${failure.hint}`).not.toMatch(/s%20cret|s cret/)
})

test.each(['nonsense', 'amqp://u:secret@h'])('%s is no URL of a management', (url) => {
  expect(() => openManagement(url, systemClock)).toThrow(expect.objectContaining({ code: 'ConfigInvalid' }))
  expect(() => openManagement(url, systemClock)).not.toThrow(/secret/)
})

test('a keeper who may not see nodes and policies still lists the queues, and says what is missing', async () => {
  const refusing = openManagement(await answering(401, '{}'), systemClock)
  const management: Management = (method, path) => {
    if (path[0] === 'overview') return Promise.resolve({ rabbitmq_version: '3.10.8' })
    if (path[0] === 'queues') return Promise.resolve([{ name: 'q' }])
    return refusing(method, path)
  }
  const broker = rabbitmqBroker({ management, vhost: '/', urlOf: () => 'amqp://', depths: async () => [] })
  expect(await broker.queueList(admin(), {})).toEqual({
    broker: { product: 'RabbitMQ', version: '3.10.8', partial: expect.stringContaining('monitoring') },
    queues: [{ name: 'q', messages: 0, consumers: 0, publishRate: 0, deliverRate: 0, ackRate: 0 }],
  })
})

test('the policy is set where it is missing or another, and left alone where it is right', async () => {
  let there: unknown
  const put: unknown[] = []
  const management: Management = async (method, path, body) => {
    expect(path).toEqual(['policies', '/', 'nova-notifications'])
    if (method === 'GET') return there
    there = body
    put.push(body)
    return undefined
  }
  const bounds = { maxLength: 10, ttlSeconds: 1.5 }
  expect(await keepNotificationsPolicy(management, '/', bounds)).toBe(true)
  expect(await keepNotificationsPolicy(management, '/', bounds)).toBe(false)
  expect(await keepNotificationsPolicy(management, '/', { ...bounds, maxLength: 20 })).toBe(true)
  expect(put).toEqual(
    [10, 20].map((maxLength) => ({
      pattern: '^(versioned_)?notifications\\.',
      definition: { 'max-length': maxLength, overflow: 'drop-head', 'message-ttl': 1500 },
      'apply-to': 'queues',
    })),
  )
})
