import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { call, cast, contract, since } from '../../../src/core/rpc/contract.ts'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import { isNewer, lowestOf, SpokenBy, understands } from '../../../src/core/rpc/versions.ts'
import { brokers, context, join, later, opened, plain, refusal, type TestBroker } from './kit.ts'

/** A service as it was, and as it is now. */
const Then = contract('doors', '1.0', { open: call(z.object({ key: z.string() }), z.string()) })
const Now = contract('doors', '1.2', {
  open: call(
    z.object({ key: z.string(), softly: since('1.1', z.boolean()), by: since('1.2', z.string()) }),
    z.string(),
  ),
  lock: call(z.object({}), z.string(), '1.1'),
  knock: cast(z.object({}), '1.2'),
})
const now = {
  open: async (_: unknown, args: object) => JSON.stringify(args),
  lock: async () => 'locked',
  knock: async () => undefined,
}
const then = { open: async (_: unknown, args: object) => JSON.stringify(args) }

describe.each(brokers)('versions of a contract, on %s', (_name, open) => {
  let at: TestBroker
  beforeAll(async () => {
    at = await open()
  })
  afterAll(() => at.drop())
  const joined: Bus[] = []
  const bus = async (): Promise<Bus> => {
    const one = await join(at.url)
    joined.push(one)
    return one
  }
  afterEach(async () => {
    await Promise.all(joined.splice(0).map((one) => one.close()))
  })

  test('a message is of the lowest version that has all of it', async () => {
    const [caller, peer] = [await bus(), await plain(at.url)]
    await peer.channel.assertExchange('nova', 'topic', { durable: true })
    await peer.channel.assertQueue('doors.wire', { autoDelete: true, durable: false })
    await peer.channel.bindQueue('doors.wire', 'nova', 'doors.wire')
    let next = later<Record<string, unknown>>()
    await peer.channel.consume('doors.wire', (m) => m && next.resolve(opened(m.content)), { noAck: true })
    const client = caller.client(Now, { server: 'wire' })
    const sent = async (work: Promise<unknown>) => {
      work.catch(() => undefined)
      const { method, version, args } = await next.promise
      next = later()
      return { method, version, args }
    }
    const soon = { timeoutMs: 100 }
    expect(await sent(client.open(context(), { key: 'k' }, soon))).toMatchObject({ version: '1.0', args: { key: 'k' } })
    expect(await sent(client.open(context(), { key: 'k', softly: true }, soon))).toMatchObject({ version: '1.1' })
    expect(await sent(client.open(context(), { key: 'k', by: 'me', softly: true }, soon))).toMatchObject({
      version: '1.2',
      args: { key: 'k', softly: true, by: 'me' },
    })
    expect(await sent(client.lock(context(), {}, soon))).toMatchObject({ method: 'lock', version: '1.1' })
    expect(await sent(client.knock(context(), {}))).toMatchObject({ method: 'knock', version: '1.2' })
    await peer.close()
  })

  test('the client of before asks the server of today', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Now, now)], { server: 'h', slots: 1 })
    expect(await caller.client(Then).open(context(), { key: 'k' })).toBe('{"key":"k"}')
  })

  test('the client of today asks the server of before what that understands; the rest is refused, and says which is older', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Then, then)], { server: 'h', slots: 1 })
    const client = caller.client(Now)
    expect(await client.open(context(), { key: 'k' })).toBe('{"key":"k"}')
    const refused = {
      code: 'UnsupportedVersion',
      message: 'doors speaks version 1.0, but the message has version 1.1.',
    }
    expect(await refusal(client.open(context(), { key: 'k', softly: true }))).toMatchObject(refused)
    expect(await refusal(client.lock(context(), {}))).toMatchObject(refused)
  })

  test('a client that knows what the other side speaks leaves out newer fields, and does not send newer methods', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Then, then)], { server: 'h', slots: 1 })
    let cap: string | undefined = '1.0'
    const client = caller.client(Now, { cap: () => cap })
    expect(await client.open(context(), { key: 'k', softly: true, by: 'me' })).toBe('{"key":"k"}')
    const unsent = caller.client(Now, { server: 'nobody', cap: () => cap })
    expect(await refusal(unsent.lock(context(), {}))).toMatchObject({
      code: 'UnsupportedVersion',
      params: { topic: 'doors', version: '1.1', supported: '1.0' },
    })
    expect(await refusal(unsent.knock(context(), {}))).toMatchObject({ code: 'UnsupportedVersion' })
    // The other side is updated while we run.
    cap = '1.1'
    expect(await refusal(unsent.lock(context(), {}))).toMatchObject({ code: 'HostUnreachable' })
    expect(await refusal(unsent.knock(context(), {}))).toMatchObject({ code: 'UnsupportedVersion' })
  })
})

test('a method or field that is newer than its contract is a bug', async () => {
  const [found] = brokers
  const at = await found?.[1]()
  const bus = await join(at?.url ?? '')
  const Odd = contract('odd', '1.0', { ask: call(z.object({ why: since('1.1', z.string()) }), z.string()) })
  expect(() => bus.client(Odd)).toThrow('odd.ask has version 1.1, but its contract only 1.0')
  await bus.close()
  await at?.drop()
})

test('versions are compared by number, and understood within a major', () => {
  expect(isNewer('1.10', '1.9')).toBe(true)
  expect(isNewer('1.9', '1.10')).toBe(false)
  expect(isNewer('2.0', '1.99')).toBe(true)
  expect(understands('1.10', '1.9')).toBe(true)
  expect(understands('1.9', '1.10')).toBe(false)
  expect(understands('2.1', '1.0')).toBe(false)
  expect(lowestOf(['1.10', '1.9', '1.11'])).toBe('1.9')
  expect(lowestOf([])).toBeUndefined()
})

describe('what others speak', () => {
  const contracts = { doors: '1.2' }

  test('who has told nothing, or was not heard yet, is taken to speak the first version', () => {
    const speakers = new Speakers()
    expect(speakers.everywhere(Now, 'porter')()).toBeUndefined()
    speakers.recordAll([{ binary: 'porter', host: 'a', contracts }])
    expect(speakers.everywhere(Now, 'porter')()).toBe('1.2')
    speakers.record({ binary: 'porter', host: 'b', contracts: undefined })
    expect([speakers.on(Now, 'porter', 'a')(), speakers.on(Now, 'porter', 'b')()]).toEqual(['1.2', '1.0'])
    expect(speakers.everywhere(Now, 'porter')()).toBe('1.0')
    speakers.record({ binary: 'porter', host: 'b', contracts: { doors: '1.1' } })
    expect(speakers.everywhere(Now, 'porter')()).toBe('1.1')
  })

  test('one that was updated is believed at once, and so is one that went back', () => {
    const spoken = new SpokenBy()
    const cap = spoken.cap(Now)
    expect(cap()).toBe('1.0')
    spoken.record(contracts)
    expect(cap()).toBe('1.2')
    spoken.record(undefined)
    expect(cap()).toBe('1.0')
  })
})
