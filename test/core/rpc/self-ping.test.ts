import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { startBroker } from '../../../src/core/broker/broker.ts'
import { type Bus, type Serving, served } from '../../../src/core/rpc/bus.ts'
import { privateRabbit } from '../../kit/private-rabbitmq.ts'
import { startProxy } from '../../kit/proxy.ts'
import {
  brokers,
  context,
  join,
  later,
  type OperatedBroker,
  opened,
  operatedBrokers,
  plain,
  recorder,
  type TestBroker,
  Toys,
  toys,
} from './kit.ts'

const pingMs = 150
/** What a conductor makes of it: degraded after two and a half pings. */
const silentMs = 2.5 * pingMs

/** Resolves when the server has heard itself after this moment. */
const responsiveness = async (serving: Serving): Promise<void> => {
  const from = systemClock.now()
  while ((serving.lastPongAt ?? 0) <= from) await systemClock.sleep(10)
}

/** A server behind a line that a test can disturb, its neighbours, and what was noticed of its link. */
async function home(url: string, at: { port: number }, slots = 4) {
  const wire = await startProxy({ host: '127.0.0.1', port: at.port }, { framed: true })
  const via = new URL(url)
  via.hostname = '127.0.0.1'
  via.port = String(wire.port)
  const { log, lines } = recorder()
  const bus = await join(via.href, { log, graceMs: 1_000 })
  let ages: number[] = []
  const hold = later()
  const api = toys({
    slow: async () => {
      await hold.promise
      return 'done'
    },
  })
  const serving = await bus.serve([served(Toys, api)], { server: 'h', slots, pingMs })
  await responsiveness(serving)
  const watch = setInterval(() => ages.push(systemClock.now() - (serving.lastPongAt ?? 0)), 20)
  const caller = await join(url)
  const stranger = await plain(url)
  return {
    wire,
    bus,
    serving,
    caller,
    stranger: stranger.channel,
    hold,
    /** Why its link was cut, as its log says. */
    cuts: () => lines.filter(({ msg }) => msg === 'bus connection lost').map(({ why }) => why),
    said: (text: string) => lines.some(({ msg }) => msg === text),
    /** How long it has not heard itself at the worst since the last question. */
    worst() {
      const most = Math.max(0, ...ages)
      ages = []
      return most
    },
    async close() {
      clearInterval(watch)
      hold.resolve()
      await Promise.all([stranger.close(), caller.close(), bus.close()])
      await wire.close()
    },
  }
}
type Home = Awaited<ReturnType<typeof home>>

/** Calls to the server and by it work, and its link does not change any more. */
async function isWell({ serving, caller, bus, cuts }: Home): Promise<void> {
  await responsiveness(serving)
  const before = cuts().length
  expect(await caller.client(Toys, { server: 'h' }).add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
  expect(await caller.client(Toys).add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
  expect(await bus.client(Toys, { server: 'h' }).add(context(), { a: 2, b: 2 })).toEqual({ sum: 4 })
  await responsiveness(serving)
  await responsiveness(serving)
  expect(cuts()).toHaveLength(before)
}

/** The queue on which a process waits for its answers, out of a message of its own. */
async function replyQueueOf(bus: Bus, { stranger }: Home): Promise<string> {
  const found = later<string>()
  await stranger.assertQueue('toys.spy', { durable: false, autoDelete: true })
  await stranger.bindQueue('toys.spy', 'nova', 'toys.spy')
  await stranger.consume('toys.spy', (m) => m && found.resolve(String(opened(m.content)._reply_q)), { noAck: true })
  void bus
    .client(Toys, { server: 'spy' })
    .nothing(context(), {}, { timeoutMs: 500 })
    .catch(() => undefined)
  return found.promise
}

describe.each(brokers)('a server that calls itself, on %s', (_name, open) => {
  let at: TestBroker
  beforeAll(async () => {
    at = await open()
  })
  afterAll(() => at.drop())
  let it: Home
  const begin = async (slots?: number): Promise<Home> => {
    it = await home(at.url, at, slots)
    return it
  }
  afterEach(() => it.close())

  test('a shared queue that is deleted under it is declared again at once, on the same connection', async () => {
    const { stranger, cuts } = await begin()
    await stranger.deleteQueue('toys')
    await isWell(it)
    expect(cuts()).toEqual([])
  })

  test('a queue that nothing leads to any more: it is degraded, connects again, and hears itself', async () => {
    const { stranger, cuts, worst } = await begin()
    worst()
    await stranger.deleteExchange('nova')
    // The channels that publish find out, and make it again; the bindings of the servers are gone.
    await isWell(it)
    expect(worst()).toBeGreaterThan(silentMs)
    expect(cuts()).toEqual([expect.stringMatching(/^toys\.h has had no answer to its self-pings for \d+ s$/)])
    expect(it.said('self-ping answered again') || it.said('bus connection restored')).toBe(true)
  })

  test('a line that swallows everything: it connects anew', async () => {
    const { wire, cuts } = await begin()
    wire.freeze()
    while (cuts().length === 0) await systemClock.sleep(10)
    expect(cuts()).toEqual([expect.stringContaining('toys.h has had no answer to its self-pings')])
    // The broker learns that the old connection is gone; until then it would give it half of the messages.
    wire.down()
    wire.up()
    await isWell(it)
  })

  test('a server whose slots are all taken is slow, and not cut off', async () => {
    const { caller, hold, cuts, serving } = await begin(2)
    const answers = [1, 2].map(() => caller.client(Toys, { server: 'h' }).slow(context(), { ms: 0 }))
    const asked = systemClock.now()
    while (systemClock.now() < asked + 5 * pingMs) await systemClock.sleep(20)
    expect(systemClock.now() - (serving.lastPongAt ?? 0)).toBeGreaterThan(silentMs)
    hold.resolve()
    expect(await Promise.all(answers)).toEqual(['done', 'done'])
    await isWell(it)
    expect(cuts()).toEqual([])
  })

  test('a server without a wish for it does not ask itself', async () => {
    const { caller } = await begin()
    const quiet = await caller.serve([served(Toys, toys())], { server: 'quiet', slots: 1 })
    expect(quiet.lastPongAt).toBeUndefined()
  })
})

describe.each(operatedBrokers)('a server whose own queues an operator deletes, on %s', (_name, open) => {
  let at: OperatedBroker
  let it: Home
  beforeAll(async () => {
    at = await open()
  })
  afterAll(() => at.drop())
  afterEach(() => it.close())

  test('declares them again at once, on the same connection', async () => {
    it = await home(at.url, at)
    for (const name of ['toys.h', await replyQueueOf(it.bus, it)]) {
      await at.deleteQueue(name)
      await responsiveness(it.serving)
    }
    await isWell(it)
    expect(it.cuts()).toEqual([])
  })

  test.each([
    ['its own queue', async () => 'toys.h'],
    ['its reply queue', async () => replyQueueOf(it.bus, it)],
  ])('and is not told of it, %s: it is degraded, connects again, and is well', async (_what, nameOf) => {
    it = await home(at.url, at)
    const name = await nameOf()
    it.wire.keepCancels = true
    it.worst()
    await at.deleteQueue(name)
    await isWell(it)
    expect(it.worst()).toBeGreaterThan(silentMs)
    expect(it.cuts()).toEqual([expect.stringContaining('toys.h has had no answer to its self-pings')])
  })
})

describe('a broker that takes no messages for want of memory', () => {
  /** Deaf and not cut off while the alarm lasts, well when it is over. */
  async function endures(it: Home, alarm: () => Promise<unknown>, over: () => Promise<unknown>): Promise<void> {
    await alarm()
    const unresponsive = async () => {
      while (systemClock.now() - (it.serving.lastPongAt ?? 0) < 10 * pingMs) await systemClock.sleep(20)
    }
    await unresponsive()
    expect(it.cuts()).toEqual([])
    await over()
    await isWell(it)
    expect(it.cuts()).toEqual([])
  }

  test('the embedded one', async () => {
    const memoryBytes = 1 << 20
    const listen = [{ port: 0 }]
    const broker = await startBroker({ listen, users: { nova: 'pass-word' }, log: silentLog, memoryBytes })
    const { port } = broker.addresses()[0] as { port: number }
    const url = `amqp://nova:pass-word@127.0.0.1:${port}`
    const it = await home(url, { port })
    const glutton = await plain(url)
    await glutton.channel.assertQueue('full')
    await endures(
      it,
      async () => {
        for (let i = 0; i < 40; i++) glutton.channel.sendToQueue('full', Buffer.alloc(64 << 10))
        while (!broker.stats().blocked) await systemClock.sleep(10)
      },
      () => it.stranger.purgeQueue('full'),
    )
    await glutton.close()
    await it.close()
    await broker.close()
  })

  test('RabbitMQ', async () => {
    const rabbit = await privateRabbit()
    if (rabbit === undefined) return
    const it = await home(rabbit.url, { port: Number(new URL(rabbit.url).port) })
    try {
      await endures(
        it,
        () => rabbit.ctl('set_vm_memory_high_watermark', '0.000001'),
        () => rabbit.ctl('set_vm_memory_high_watermark', '0.6'),
      )
    } finally {
      await it.close()
      await rabbit.stop()
    }
  })
})
