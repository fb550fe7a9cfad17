import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { rabbitmqBroker } from '../../../src/core/rabbitmq/broker.ts'
import { type Management, openManagement } from '../../../src/core/rabbitmq/management.ts'
import { keepPoliciesOf } from '../../../src/core/rabbitmq/policies.ts'
import { certificates } from '../../kit/certificates.ts'
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
    if (path[0] === 'queues') return Promise.resolve({ items: [{ name: 'q' }], total_count: 2_000 })
    return refusing(method, path)
  }
  const broker = rabbitmqBroker({ management, vhost: '/', urlOf: () => 'amqp://', depths: async () => [] })
  expect(await broker.queueList(admin(), {})).toEqual({
    broker: {
      product: 'RabbitMQ',
      version: '3.10.8',
      partial: expect.stringMatching(/monitoring.* Only the 500 queues .* of 2000/),
    },
    queues: [{ name: 'q', messages: 0, consumers: 0, publishRate: 0, deliverRate: 0, ackRate: 0 }],
  })
})

test('policies are set where they are missing or others, and left alone where they are right', async () => {
  const there = new Map<string, unknown>()
  const management: Management = async (method, path, { body } = {}) => {
    if (method === 'PUT') there.set(path.join(' '), body)
    return there.get(path.join(' '))
  }
  const bounds = { maxLength: 10, ttlSeconds: 1.5 }
  const both = ['nova-notifications', 'nova-hosts']
  expect(await keepPoliciesOf(management, '/', bounds)).toEqual(both)
  expect(await keepPoliciesOf(management, '/', bounds)).toEqual([])
  expect(await keepPoliciesOf(management, '/', { ...bounds, maxLength: 20 })).toEqual(['nova-notifications'])
  expect(Object.fromEntries(there)).toEqual({
    'policies / nova-notifications': {
      pattern: '^(versioned_)?notifications\\.',
      definition: { 'max-length': 20, overflow: 'drop-head', 'message-ttl': 1500 },
      'apply-to': 'queues',
    },
    'policies / nova-hosts': {
      pattern: '^(compute|network|volume|reply_host)\\.',
      definition: { 'max-length-bytes': 64 << 20, overflow: 'drop-head', expires: 600_000 },
      'apply-to': 'queues',
    },
  })
})

test('of several URLs the first that answers is asked, and from then on first', async () => {
  const seen: string[] = []
  const ask = openManagement(`${await gone()}, ${await answering(200, '{"ok":true}', seen)}`, systemClock)
  expect(await ask('GET', ['overview'])).toEqual({ ok: true })
  expect(await ask('GET', ['overview'], { query: { page: '1' } })).toEqual({ ok: true })
  expect(seen.map((each) => each.split(' ')[1])).toEqual(['/api/overview', '/api/overview?page=1'])
  const nowhere = await openManagement(`${await gone()},${await gone()}`, systemClock)('GET', ['overview']).catch(
    (e: unknown) => e,
  )
  expect(nowhere).toMatchObject({ code: 'ManagementFailed', message: expect.not.stringContaining('cret') })
})

test('an https:// management is trusted by the CA that is given, and by no other', async () => {
  const signed = await certificates()
  undo.push(() => signed.drop())
  const { ca, ...shown } = signed.trust('shown')
  const server = createSecureServer(shown, (_request, response) => response.end('{"ok":true}'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  undo.push(() => server.close())
  const url = `https://keeper:x@127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await openManagement(url, systemClock, ca)('GET', ['overview'])).toEqual({ ok: true })
  await expect(openManagement(url, systemClock)('GET', ['overview'])).rejects.toThrow(/unknown CA|self-signed/)
})
