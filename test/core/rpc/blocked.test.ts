import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { startBroker } from '../../../src/core/broker/broker.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { privateRabbit } from '../../kit/private-rabbitmq.ts'
import { startProxy } from '../../kit/proxy.ts'
import { context, join, later, plain, recorder, refusal, Toys, toys } from './kit.ts'

/** A broker that a test can make take no messages: by filling it, or by moving its bound. */
type Alarmed = {
  url: string
  alarm(): Promise<void>
  relieve(): Promise<void>
  /** Messages in queues whose name begins so. */
  held(prefix: string): Promise<number>
  drop(): Promise<void>
}

async function embedded(): Promise<Alarmed> {
  const memoryBytes = 32 << 20
  const pieces = 516
  const broker = await startBroker({ listen: [{ port: 0 }], users: { nova: 'pw' }, memoryBytes, log: silentLog })
  const { port } = broker.addresses()[0] as { port: number }
  const url = `amqp://nova:pw@127.0.0.1:${port}`
  return {
    url,
    async alarm() {
      const peer = await plain(url)
      await peer.channel.assertQueue('heap')
      // In pieces: who sends much after the alarm is not read from any more, and could not say goodbye.
      for (let i = 0; i < pieces; i++) peer.channel.sendToQueue('heap', Buffer.alloc(64 << 10))
      await vi.waitFor(() => expect(broker.stats().blocked).toBe(true))
      await peer.close()
    },
    relieve: async () => expect(broker.purge('/', 'heap')).toBe(pieces),
    held: async (prefix) =>
      broker
        .stats()
        .queues.filter(({ name }) => name.startsWith(prefix))
        .reduce((sum, { depth, unacked }) => sum + depth + unacked, 0),
    drop: () => broker.close(),
  }
}

async function real(): Promise<Alarmed | undefined> {
  const node = await privateRabbit()
  return (
    node && {
      url: node.url,
      async alarm() {
        await node.ctl('set_vm_memory_high_watermark', '0.00001')
        await vi.waitFor(async () => expect(await node.ctl('status')).toContain('Memory alarm on node'), 20_000)
      },
      relieve: async () => void (await node.ctl('set_vm_memory_high_watermark', '0.8')),
      held: async (prefix) =>
        (await node.ctl('list_queues', 'name', 'messages', '--no-table-headers'))
          .split('\n')
          .filter((line) => line.startsWith(prefix))
          .reduce((sum, line) => sum + Number(line.split('\t')[1]), 0),
      drop: () => node.stop(),
    }
  )
}

const rabbit = await real()
// Also where none of its tests was asked for.
afterAll(() => rabbit?.drop())
const brokers: Array<[string, () => Promise<Alarmed>]> = [['the embedded broker', embedded]]
if (rabbit !== undefined) brokers.push(['RabbitMQ', async () => rabbit])

describe.each(brokers)('a broker that takes no messages: %s', (_name, open) => {
  let broker: Alarmed
  let relieved = true
  const undo: Array<() => Promise<unknown>> = []
  beforeAll(async () => {
    broker = await open()
  })
  afterEach(async () => {
    if (!relieved) await relieve()
    for (const fn of undo.splice(0).reverse()) await fn()
  })
  afterAll(() => broker.drop())
  const alarm = () => {
    relieved = false
    return broker.alarm()
  }
  const relieve = () => {
    relieved = true
    return broker.relieve()
  }
  /** A link, and a promise of its being told that the broker is blocked. */
  const bus = async (url = broker.url, over: Parameters<typeof join>[1] = {}): Promise<[Bus, () => Promise<void>]> => {
    const { log, text } = recorder()
    const made = await join(url, { log, callTimeoutMs: 30_000, ...over })
    undo.push(() => made.close())
    /** Brokers tell nobody but those who publish. */
    const blocked = async () => {
      await made.publish('trip', 'this one is on its way when the broker tells us')
      await vi.waitFor(() => expect(text()).toContain('accepts no messages'), 10_000)
    }
    return [made, blocked]
  }

  test('500 calls and 500 casts wait without a byte being written, and are all carried out once when it has room', {
    timeout: 60_000,
  }, async () => {
    const line = await startProxy({ host: '127.0.0.1', port: Number(new URL(broker.url).port) })
    undo.push(() => line.close())
    const via = new URL(broker.url)
    via.port = String(line.port)
    const [server] = await bus()
    const [caller, blocked] = await bus(via.href)
    const [added, dropped]: [number[], string[]] = [[], []]
    const api = toys({
      add: async (_ctx, { a, b }) => {
        added.push(a)
        return { sum: a + b }
      },
      drop: async (_ctx, { what }) => void dropped.push(what.slice(0, 4)),
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 16 })
    const client = caller.client(Toys)
    await client.drop(context(), { what: 'warm' })
    await client.add(context(), { a: -1, b: 0 })
    await alarm()
    await blocked()

    const sentBefore = line.sent
    const calls = Array.from({ length: 500 }, (_, a) => client.add(context(), { a, b: 1 }))
    const casts = Array.from({ length: 500 }, (_, i) =>
      client.drop(context(), { what: String(i).padEnd(4) + 'x'.repeat(10_000) }),
    )
    const events = Array.from({ length: 5_000 }, (_, i) => caller.publish('more', `${i}`.repeat(100)))
    await Promise.all(events)
    await systemClock.sleep(500)
    // Acknowledgements and heartbeats may go out; one cast alone has 10 kB.
    expect(line.sent - sentBefore).toBeLessThan(1_000)
    expect([added, dropped]).toEqual([[-1], ['warm']])

    await relieve()
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 500 }, (_, a) => ({ sum: a + 1 })))
    await Promise.all(casts)
    await vi.waitFor(() => expect(dropped).toHaveLength(501), 10_000)
    expect(added).toHaveLength(501)
    expect(new Set(added).size).toBe(501)
    expect(new Set(dropped).size).toBe(501)
  })

  test('who waits in vain is told why after its own time, and too many are told at once', {
    timeout: 90_000,
  }, async () => {
    const [caller, blocked] = await bus()
    const [server] = await bus()
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    await caller.client(Toys).drop(context(), { what: 'warm' })
    await alarm()
    await blocked()
    const client = caller.client(Toys)
    expect(await refusal(client.add(context(), { a: 1, b: 1 }, { timeoutMs: 300 }))).toMatchObject({
      code: 'BusBlocked',
      message: expect.stringMatching(/accepts no messages \(waited 0 s\): the broker is low on memory\.$/),
      hint: expect.stringContaining('nova doctor'),
    })
    const large = 'x'.repeat(1 << 20)
    const waiting = Array.from({ length: 60 }, () => client.drop(context(), { what: large }))
    for (const each of waiting) each.catch(() => undefined)
    const began = systemClock.now()
    const more = Array.from({ length: 5 }, () => client.drop(context(), { what: large }))
    for (const each of more) each.catch(() => undefined)
    expect(await refusal(Promise.race(more))).toMatchObject({
      code: 'BusBlocked',
      message: expect.stringMatching(/low on memory, and \d+ messages wait for it already/),
    })
    expect(systemClock.now() - began).toBeLessThan(2_000)
    await relieve()
    await Promise.all(waiting)
    await Promise.allSettled(more)
  })

  test('answers wait with their slots, so that a blocked server takes no more work', { timeout: 90_000 }, async () => {
    const [server, blocked] = await bus()
    const [caller] = await bus()
    const hold = later()
    let begun = 0
    const slow = async () => {
      begun++
      await hold.promise
      return 'done'
    }
    await server.serve([served(Toys, toys({ slow }))], { server: 'h', slots: 2 })
    const calls = Array.from({ length: 10 }, () => caller.client(Toys).slow(context(), { ms: 0 }))
    await vi.waitFor(() => expect(begun).toBe(2))
    await alarm()
    await blocked()
    hold.resolve()
    await systemClock.sleep(300)
    expect(begun).toBe(2)
    await relieve()
    expect(await Promise.all(calls)).toEqual(Array(10).fill('done'))
    expect(begun).toBe(10)
  })

  test('closing takes no longer than the grace, for who waits to send as for who waits to answer', {
    timeout: 90_000,
  }, async () => {
    const [server, serverBlocked] = await bus(broker.url, { graceMs: 1_000 })
    const [caller, blocked] = await bus(broker.url, { graceMs: 1_000 })
    const hold = later()
    const { stop } = await server.serve([served(Toys, toys({ slow: () => hold.promise.then(() => 'done') }))], {
      server: 'h',
      slots: 2,
    })
    const slow = refusal(caller.client(Toys).slow(context(), { ms: 0 }))
    await caller.client(Toys).drop(context(), { what: 'warm' })
    await alarm()
    await Promise.all([blocked(), serverBlocked()])
    const waiting = [refusal(caller.client(Toys).drop(context(), { what: 'x' })), slow]
    hold.resolve()
    const began = systemClock.now()
    await Promise.all([stop().then(() => server.close()), caller.close()])
    expect(systemClock.now() - began).toBeLessThan(6_000)
    for (const each of await Promise.all(waiting)) expect(each).toMatchObject({ code: /^Bus/ })
    await relieve()
  })

  test('a reader that stops reading while 100,000 events are told costs a bounded queue, and nobody else', {
    timeout: 60_000,
  }, async () => {
    const line = await startProxy({ host: '127.0.0.1', port: Number(new URL(broker.url).port) })
    undo.push(() => line.close())
    const via = new URL(broker.url)
    via.port = String(line.port)
    const [speaker] = await bus()
    const [slow] = await bus(via.href, { graceMs: 500 })
    const [swift] = await bus()
    let heard = 0
    const last = later()
    await slow.subscribe(['tell'], () => undefined)
    await swift.subscribe(['tell'], ({ body }) => {
      heard++
      if (body === 'last') last.resolve()
    })
    line.freeze()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 100_000; i++) {
      await speaker.publish('tell', { i, text: 'x'.repeat(100) })
      if (i % 100 === 0) await setImmediate()
    }
    await speaker.publish('tell', 'last')
    await last.promise
    expect(heard).toBeGreaterThan(20_000)
    expect(await broker.held('nova_events_')).toBeLessThanOrEqual(10_000 + 2 * 200)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 << 20)
  })
})
