import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { busBackAt } from '../../../src/core/rpc/back-at.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { type Line, startProxy } from '../../kit/proxy.ts'
import {
  brokers,
  context,
  fanout,
  join,
  later,
  opened,
  operatedBrokers,
  plain,
  recorder,
  refusal,
  Secret,
  type TestBroker,
  Toys,
  toys,
} from './kit.ts'

const through = (url: string, proxy: Line) => {
  const via = new URL(url)
  via.hostname = '127.0.0.1'
  via.port = String(proxy.port)
  return via.href
}

/** Resolves when the link is as wanted. */
const link = (bus: Bus, wanted: boolean) =>
  new Promise<void>((resolve) => {
    if (bus.up === wanted) return resolve()
    const off = bus.onLink((up) => {
      if (up !== wanted) return
      off()
      resolve()
    })
  })

/** Resolves when something was declared anew while the link stood. */
const renewal = (bus: Bus) =>
  new Promise<void>((resolve) => {
    const off = bus.onLink((up) => {
      if (!up) return
      off()
      resolve()
    })
  })

describe.each(brokers)('a bus that is lost, on %s', (_name, open) => {
  const undo: Array<() => Promise<unknown>> = []
  afterEach(async () => {
    for (const fn of undo.splice(0).reverse()) await fn()
  })
  const undoing = <T>(value: T, fn: (value: T) => Promise<unknown>): T => {
    undo.push(() => fn(value))
    return value
  }
  let shared: TestBroker
  beforeAll(async () => {
    shared = await open()
  })
  afterAll(() => shared.drop())
  const bus = async (...args: Parameters<typeof join>): Promise<Bus> => undoing(await join(...args), (b) => b.close())
  const proxy = async (to: TestBroker): Promise<Line> =>
    undoing(await startProxy({ host: '127.0.0.1', port: to.port }), (p) => p.close())

  test('32 calls in flight over a broker that is wiped: each ends, and calls, casts, fanouts and events work again', async () => {
    const at = shared
    const server = await bus(at.url)
    const caller = await bus(at.url, { graceMs: 2_000 })
    const dropped: string[] = []
    const fanned = later()
    const api = toys({
      drop: async (_ctx, { what }) => {
        dropped.push(what)
        if (what === 'fanned') fanned.resolve()
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 32 })
    const heard: unknown[] = []
    const heardAfter = later()
    await caller.subscribe(['toy.#'], ({ body }) => {
      heard.push(body)
      if (body === 'after') heardAfter.resolve()
    })
    await server.publish('toy.x', 'before')

    let over = false
    const outcomes: Record<string, number> = {}
    const flight = async () => {
      while (!over) {
        const outcome = await caller
          .client(Toys)
          .add(context(), { a: 1, b: 1 }, { timeoutMs: 3_000 })
          .then(
            () => 'answered',
            (e) => (isFailure(e) ? e.code : `bug: ${e}`),
          )
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        // A broker that is back before its servers answers at once that nobody is there.
        if (outcome !== 'answered') await systemClock.sleep(20)
      }
    }
    const flights = Array.from({ length: 32 }, flight)
    while ((outcomes.answered ?? 0) < 500) await systemClock.sleep(10)
    const lost = Promise.all([link(server, false), link(caller, false)])
    await at.wipe()
    await lost
    await Promise.all([link(server, true), link(caller, true)])
    const before = outcomes.answered ?? 0
    while ((outcomes.answered ?? 0) < before + 500) await systemClock.sleep(10)
    over = true
    await Promise.all(flights)

    // A broker that has just been wiped knows nobody for a moment.
    const allowed = ['answered', 'BusDown', 'BusRefused', 'CallTimeout', 'HostUnreachable']
    expect(Object.keys(outcomes).filter((outcome) => !allowed.includes(outcome))).toEqual([])
    await caller.client(Toys, { server: 'h' }).drop(context(), { what: 'cast' })
    await fanout(at.url, 'toys', { method: 'drop', args: { what: 'fanned' } })
    await fanned.promise
    expect(dropped).toContain('cast')
    await server.publish('toy.x', 'after')
    await heardAfter.promise
    expect(heard).toEqual(['before', 'after'])
  })

  test('a cast that waited for the link and finds nobody yet comes back when the link counts as just back', async () => {
    const at = shared
    const wire = await proxy(at)
    const caller = await bus(through(at.url, wire), { graceMs: 60_000 })
    const backAt = busBackAt(caller, systemClock)
    await refusal(caller.client(Toys).drop(context(), { what: 'opens the channel' }))
    expect(backAt()).toBeUndefined()
    // Many channels: that of casts is open before the last of them.
    const serves = Array.from({ length: 8 }, (_, n) =>
      caller.serve([served(Secret, { whisper: async () => '' })], { server: `s${n}`, slots: 1, shared: false }),
    )
    await Promise.all(serves)
    for (let n = 0; n < 5; n++) {
      const lost = link(caller, false)
      const lostAt = systemClock.now()
      wire.down()
      await lost
      const returned = caller
        .client(Toys, { server: 'nobody' })
        .drop(context(), { what: 'too early' })
        .catch((e) => ({ code: e.code, backAt: backAt() }))
      wire.up()
      const { code, backAt: known } = (await returned) ?? {}
      expect(code).toBe('HostUnreachable')
      expect(known).toBeGreaterThanOrEqual(lostAt)
      await link(caller, true)
    }
  })

  test('an answer that is given while the link is down is lost with the reply queue, and its caller knows as soon as the link is back', async () => {
    const at = shared
    const wire = await proxy(at)
    const server = await bus(at.url)
    const caller = await bus(through(at.url, wire), { graceMs: 60_000 })
    const [begun, hold] = [later(), later<string>()]
    const api = toys({
      slow: () => {
        begun.resolve()
        return hold.promise
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    const answer = refusal(caller.client(Toys).slow(context(), { ms: 0 }, { timeoutMs: 60_000 }))
    await begun.promise
    wire.down()
    await link(caller, false)
    hold.resolve('to nobody')
    wire.up()
    expect(await answer).toMatchObject({ code: 'BusDown' })
    expect(await caller.client(Toys).add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
  })

  test('a call under way fails with BusDown after the grace, or earlier with its own timeout', async () => {
    const at = shared
    const wire = await proxy(at)
    const server = await bus(at.url)
    const caller = await bus(through(at.url, wire), { graceMs: 400 })
    const [begun, hold] = [later(), later<string>()]
    let running = 0
    const api = toys({
      slow: () => {
        if (++running === 2) begun.resolve()
        return hold.promise
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 2 })
    const patient = refusal(caller.client(Toys).slow(context(), { ms: 0 }))
    const hasty = refusal(caller.client(Toys).slow(context(), { ms: 0 }, { timeoutMs: 300 }))
    await begun.promise
    wire.down()
    expect(await hasty).toMatchObject({ code: 'CallTimeout' })
    expect(await patient).toMatchObject({ code: 'BusDown' })
    hold.resolve('')
  })

  test('call and cast wait for a link that is down, then fail with BusDown', async () => {
    const at = shared
    const wire = await proxy(at)
    const server = await bus(at.url)
    const heard = recorder()
    const caller = await bus(through(at.url, wire), { graceMs: 2_000, log: heard.log })
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    const client = caller.client(Toys)
    await client.drop(context(), { what: 'opens the channel for casts' })
    wire.down()
    await link(caller, false)
    const [sum, cast] = [client.add(context(), { a: 1, b: 2 }), client.drop(context(), { what: '' })]
    wire.up()
    expect(await sum).toEqual({ sum: 3 })
    await cast
    wire.down()
    await link(caller, false)
    for (const e of await Promise.all([
      refusal(client.add(context(), { a: 1, b: 1 })),
      refusal(client.drop(context(), { what: '' })),
    ])) {
      expect(e).toMatchObject({ code: 'BusDown', message: expect.stringMatching(/:\*\*\*@127\.0\.0\.1/) })
    }
    for (const secret of ['guest:guest', 'pass-word']) expect(heard.text()).not.toContain(secret)
  })

  test('casts that were not confirmed when the line was cut are sent again, and carried out once', async () => {
    const at = shared
    const wire = await proxy(at)
    const server = await bus(at.url)
    const caller = await bus(through(at.url, wire))
    const got = new Map<string, number>()
    await server.serve(
      [served(Toys, toys({ drop: async (_c, { what }) => void got.set(what, (got.get(what) ?? 0) + 1) }))],
      {
        server: 'h',
        slots: 10,
      },
    )
    const client = caller.client(Toys, { server: 'h' })
    const casts = Array.from({ length: 200 }, (_, i) => client.drop(context(), { what: String(i) }))
    wire.down()
    await link(caller, false)
    wire.up()
    await Promise.all(casts)
    await client.add(context(), { a: 1, b: 1 })
    expect(got.size).toBe(200)
    expect([...got.values()].every((times) => times === 1)).toBe(true)
  })

  test('a shared queue that is deleted under its servers is declared again', async () => {
    const at = shared
    const server = await bus(at.url)
    const caller = await bus(at.url)
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    const peer = undoing(await plain(at.url), (p) => p.close())
    const client = caller.client(Toys)
    expect(await client.add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
    await Promise.all([renewal(server), peer.channel.deleteQueue('toys')])
    expect(await client.add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
  })

  test('the queue of a server that is killed goes with its connection: who asks it knows at once', async () => {
    const at = shared
    const wire = await proxy(at)
    const server = await bus(through(at.url, wire))
    const caller = await bus(at.url)
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1, shared: false })
    const client = caller.client(Toys, { server: 'h' })
    expect(await client.add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
    wire.down()
    await expect
      .poll(() => refusal(client.add(context(), { a: 1, b: 1 }, { timeoutMs: 900 })), { timeout: 5_000, interval: 20 })
      .toMatchObject({ code: 'HostUnreachable' })
  })

  test('a server that starts while the connection of its earlier life lingers waits for its queue, and has it then', async () => {
    const at = shared
    const heard = recorder()
    const [before, after, caller] = [await bus(at.url), await bus(at.url, { log: heard.log }), await bus(at.url)]
    await before.serve([served(Toys, toys({ paint: async () => 'before' }))], { server: 'h', slots: 1 })
    const waiting = after.serve([served(Toys, toys({ paint: async () => 'after' }))], { server: 'h', slots: 1 })
    const retrying = () => heard.lines.filter(({ msg }) => /in use by another connection/.test(String(msg))).length
    await expect.poll(retrying).toBeGreaterThanOrEqual(2)
    const paint = () => caller.client(Toys, { server: 'h' }).paint(context(), { colour: 'red' })
    expect(await paint()).toBe('before')
    await before.close()
    await waiting
    expect(await paint()).toBe('after')
  })

  test('an exchange that is deleted costs the calls of that moment, and not the process', async () => {
    const at = shared
    const server = await bus(at.url)
    const caller = await bus(at.url, { graceMs: 300 })
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    const peer = undoing(await plain(at.url), (p) => p.close())
    await peer.channel.deleteExchange('nova')
    const renewed = renewal(caller)
    expect(await refusal(caller.client(Toys).add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'BusDown' })
    await renewed
    expect(caller.up).toBe(true)
    // Its bindings went with it; the servers do not know, and callers are told.
    expect(await refusal(caller.client(Toys).add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'HostUnreachable' })
  })

  test('a queue of other flags: serving says so, and the process lives on', async () => {
    const at = shared
    const peer = undoing(await plain(at.url), (p) => p.close())
    await peer.channel.assertQueue('toys', { durable: false, autoDelete: false })
    const server = await bus(at.url)
    expect(await refusal(server.serve([served(Toys, toys())], { server: 'h', slots: 1 }))).toMatchObject({
      code: 'BusConflict',
      message: expect.stringMatching(/PRECONDITION_FAILED/),
      hint: expect.stringContaining('bus.queues'),
    })
    expect(server.up).toBe(true)
    await peer.channel.deleteQueue('toys')
  })

  test('the depth of a queue that a server has to itself is for nobody else to see, but that it is read', async () => {
    const at = shared
    const [server, other] = [await bus(at.url), await bus(at.url)]
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    expect(await other.queues(['toys.h', 'toys', 'toys.none'])).toEqual([
      { name: 'toys.h', messages: undefined, consumers: 1 },
      { name: 'toys', messages: 0, consumers: 1 },
      { name: 'toys.none', messages: 0, consumers: 0 },
    ])
  })

  test('a broker that freezes is noticed by its heartbeats', async () => {
    const at = shared
    const wire = await proxy(at)
    const caller = await bus(`${through(at.url, wire)}?heartbeat=1`, { graceMs: 200 })
    const lost = link(caller, false)
    wire.freeze()
    await lost
    await link(caller, true)
    expect(await refusal(caller.client(Toys).add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'HostUnreachable' })
  })

  test('closing does not wait for a broker that is frozen, nor for one that is gone', async () => {
    const at = shared
    const wire = await proxy(at)
    const [one, two] = [
      await join(through(at.url, wire), { graceMs: 100 }),
      await join(through(at.url, wire), { graceMs: 100 }),
    ]
    await one.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    wire.freeze()
    await one.close()
    wire.down()
    await link(two, false)
    await two.close()
    expect(two.up).toBe(false)
    expect(await refusal(two.client(Toys).add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'BusDown' })
  })

  test('a second broker is taken where the first is not there', async () => {
    const at = shared
    const caller = await bus(`amqp://nova:secret@127.0.0.1:1/,${at.url}`)
    expect(caller.up).toBe(true)
    // A server that nobody ever was: those of other tests may not have been missed yet.
    const client = caller.client(Toys, { server: 'nobody' })
    expect(await refusal(client.add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'HostUnreachable' })
  })

  test('a login that is refused is BusRefused, and no text shows a password', async () => {
    const at = shared
    const wrong = new URL(at.url)
    wrong.password = 'hunter2'
    const e = await refusal(join(wrong.href))
    expect(e).toMatchObject({ code: 'BusRefused', message: expect.stringMatching(/:\*\*\*@.*ACCESS_REFUSED/) })
    const nowhere = new URL(at.url)
    nowhere.pathname = '/no-such-vhost'
    expect(await refusal(join(nowhere.href))).toMatchObject({
      code: 'BusRefused',
      message: expect.stringMatching(/virtual host/),
    })
    expect(JSON.stringify([e, (e as Error).message, (e as Error).stack])).not.toContain('hunter2')
  })
})

describe.each(operatedBrokers)('queues that an operator deletes, on %s', (_name, open) => {
  test('are declared again by their server and by their caller', async () => {
    const at = await open()
    const [server, caller] = [await join(at.url), await join(at.url)]
    try {
      await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
      const peer = await plain(at.url)
      const seen = later<string>()
      await peer.channel.assertQueue('eyes', { exclusive: true })
      await peer.channel.bindQueue('eyes', 'nova', 'toys.h')
      await peer.channel.consume('eyes', (m) => m && seen.resolve(String(opened(m.content)._reply_q)))
      const client = caller.client(Toys, { server: 'h' })
      expect(await client.add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
      await Promise.all([renewal(server), at.deleteQueue('toys.h')])
      expect(await client.add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
      await Promise.all([renewal(caller), at.deleteQueue(await seen.promise)])
      expect(await client.add(context(), { a: 2, b: 2 })).toEqual({ sum: 4 })
      await peer.close()
    } finally {
      await Promise.all([server.close(), caller.close()])
      await at.drop()
    }
  })
})

test('a bus that is not there is BusDown in words, and one that does not answer is given up', async () => {
  expect(await refusal(join('amqp://nova:secret@127.0.0.1:1/'))).toMatchObject({
    code: 'BusDown',
    message: 'The bus at amqp://nova:***@127.0.0.1:1/ cannot be reached: nothing listens there (ECONNREFUSED).',
  })
  expect(await refusal(join('amqp+unix://nova:secret@/nowhere/bus.sock'))).toMatchObject({
    message: expect.stringMatching(/amqp\+unix:\/\/nova:\*\*\*@\/nowhere.*the socket does not exist/),
  })
  const mute = createServer()
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const { port } = mute.address() as AddressInfo
  expect(await refusal(join(`amqp://127.0.0.1:${port}`, { connectTimeoutMs: 100 }))).toMatchObject({
    code: 'BusDown',
    message: expect.stringMatching(/no answer within 0\.1 s/),
  })
  mute.close()
})
