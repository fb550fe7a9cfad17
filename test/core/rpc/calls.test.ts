import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { Failure, fail, RemoteError } from '../../../src/core/base/errors.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { Context } from '../../../src/core/model/context.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { call, contract } from '../../../src/core/rpc/contract.ts'
import { brokers, context, fanout, join, later, recorder, refusal, Secret, type TestBroker, Toys, toys } from './kit.ts'

describe.each(brokers)('call and cast on %s', (_name, open) => {
  let broker: TestBroker
  const buses: Bus[] = []
  const bus = async (...over: Parameters<typeof join> extends [string, ...infer O] ? O : never) => {
    const made = await join(broker.url, ...over)
    buses.push(made)
    return made
  }
  beforeAll(async () => {
    broker = await open()
  })
  afterEach(async () => {
    await Promise.all(buses.splice(0).map((b) => b.close()))
  })
  afterAll(() => broker.drop())

  test('a call is answered, by any server or by the one that is named', async () => {
    const [one, two, caller] = [await bus(), await bus(), await bus()]
    await one.serve([served(Toys, toys({ paint: async () => 'one' }))], { server: 'h1', slots: 4 })
    await two.serve([served(Toys, toys({ paint: async () => 'two' }))], { server: 'h2', slots: 4 })
    expect(await caller.client(Toys).add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
    expect(await caller.client(Toys, { server: 'h1' }).paint(context(), { colour: 'red' })).toBe('one')
    expect(await caller.client(Toys, { server: 'h2' }).paint(context(), { colour: 'red' })).toBe('two')
  })

  test('many calls at once each get their own answer', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Toys, toys())], { server: 'h', slots: 8 })
    const client = caller.client(Toys)
    const sums = await Promise.all(Array.from({ length: 200 }, (_, a) => client.add(context(), { a, b: 1 })))
    expect(sums.map((s) => s.sum)).toEqual(Array.from({ length: 200 }, (_, a) => a + 1))
  })

  test('a process may call itself', async () => {
    const self = await bus()
    await self.serve([served(Toys, toys())], { server: 'h', slots: 2 })
    expect(await self.client(Toys, { server: 'h' }).add(context(), { a: 2, b: 2 })).toEqual({ sum: 4 })
  })

  test('who asks arrives with the question', async () => {
    const [server, caller] = [await bus(), await bus()]
    const seen = later<Context>()
    const api = toys({ nothing: async (ctx) => seen.resolve(ctx) })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    const ctx = context({ roles: ['admin', 'reader'], isAdmin: true })
    expect(await caller.client(Toys).nothing(ctx, {})).toBeUndefined()
    expect(await seen.promise).toEqual({ ...ctx, busUser: new URL(broker.url).username })
    expect(await caller.client(Toys).maybe(ctx, {})).toBeNull()
  })

  test('a large message comes through whole, and one beyond the limit is refused here', async () => {
    const [server, caller] = [await bus(), await bus()]
    const api = toys({ break: async (_ctx, { how }) => how })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    const text = 'ü"\\ '.repeat(400_000)
    expect(await caller.client(Toys).break(context(), { how: text })).toBe(text)
    const refused = await refusal(caller.client(Toys).break(context(), { how: 'x'.repeat(17 << 20) }))
    expect(refused).toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/the limit of the bus is 16777216/),
    })
  })

  test('an answer beyond the limit is a failure of the call, and the server goes on', async () => {
    const [server, caller] = [await bus(), await bus()]
    const api = toys({ break: async () => 'x'.repeat(17 << 20) })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    expect(await refusal(caller.client(Toys).break(context(), { how: '' }))).toMatchObject({ code: 'InvalidRequest' })
    expect(await caller.client(Toys).add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
  })

  test('a cast arrives once at one server', async () => {
    const [server, caller] = [await bus(), await bus()]
    const got: string[] = []
    const last = later()
    const api = toys({
      drop: async (_ctx, { what }) => {
        got.push(what)
        if (what === 'c') last.resolve()
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    for (const what of ['a', 'b', 'c']) await caller.client(Toys, { server: 'h' }).drop(context(), { what })
    await last.promise
    expect(got).toEqual(['a', 'b', 'c'])
  })

  test("a Python peer's fanout arrives at every server of the topic, and needs none", async () => {
    const [one, two] = [await bus(), await bus()]
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: 'nobody is there' } })
    const [first, second] = [later<string>(), later<string>()]
    await one.serve([served(Toys, toys({ drop: async (_c, { what }) => first.resolve(what) }))], {
      server: 'a',
      slots: 1,
    })
    await two.serve([served(Toys, toys({ drop: async (_c, { what }) => second.resolve(what) }))], {
      server: 'b',
      slots: 1,
      shared: false,
    })
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: 'all' } })
    expect(await Promise.all([first.promise, second.promise])).toEqual(['all', 'all'])
  })

  test('a fanout after the last server has gone, and come again, still arrives', async () => {
    const server = await bus()
    const { stop } = await server.serve([served(Toys, toys())], { server: 'a', slots: 1 })
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: '1' } })
    await stop()
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: '2' } })
    const got = later<string>()
    await server.serve([served(Toys, toys({ drop: async (_c, { what }) => got.resolve(what) }))], {
      server: 'a',
      slots: 1,
    })
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: '3' } })
    expect(await got.promise).toBe('3')
  })

  test('what is wrong never leaves the caller', async () => {
    const [server, caller] = [await bus(), await bus()]
    let asked = 0
    const api = toys({
      paint: async () => {
        asked++
        return 'red'
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    const refused = await refusal(caller.client(Toys).paint(context(), { colour: 'blue' as 'red' }))
    expect(refused).toMatchObject({
      code: 'InvalidRequest',
      message: 'paint: colour: Invalid option: expected one of "red"|"green"',
    })
    expect(await refusal(caller.client(Toys).drop(context(), {} as { what: string }))).toMatchObject({
      message: 'drop: what: Invalid input: expected string, received undefined',
    })
    expect(asked).toBe(0)
  })

  test('a server refuses what another version of the contract sends', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    const Loose = contract('toys', '1.0', {
      paint: call(z.object({ colour: z.string(), coats: z.number() }), z.string()),
      add: call(z.object({ a: z.number(), b: z.number() }), z.object({ total: z.number() })),
    })
    const refused = await refusal(caller.client(Loose).paint(context(), { colour: 'blue', coats: 0 }))
    expect(refused).toBeInstanceOf(Failure)
    expect(refused).toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/^paint: colour: .*and 1 more/),
    })
    expect(await refusal(caller.client(Loose).add(context(), { a: 1, b: 1 }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'the answer of toys to "add": total: Invalid input: expected number, received undefined',
    })
  })

  test('a failure crosses as itself', async () => {
    const [server, caller] = [await bus(), await bus()]
    const api = toys({
      break: async () =>
        fail('InstanceInvalidState', {
          name: 'web',
          state: 'PAUSED',
          verb: 'stop',
          allowed: ['ACTIVE'],
          first: 'unpause',
        }),
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    const e = await refusal(caller.client(Toys).break(context(), { how: '' }))
    expect(e).toBeInstanceOf(Failure)
    expect(e).toMatchObject({
      code: 'InstanceInvalidState',
      params: { name: 'web', state: 'PAUSED', verb: 'stop', allowed: ['ACTIVE'], first: 'unpause' },
      message: 'Cannot stop web: it is PAUSED. Unpause it first.',
      hint: 'To stop an instance, it must be ACTIVE.',
    })
  })

  test('anything else thrown arrives as RemoteError, through a third side as well, and is logged there with its stack', async () => {
    const heard = recorder()
    const [server, between, caller] = [await bus({ log: heard.log }), await bus(), await bus()]
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    await between.serve(
      [served(Secret, { whisper: (ctx) => between.client(Toys).break(ctx, { how: 'the spring is broken' }) })],
      { server: 'between', slots: 1, shared: false },
    )
    const ctx = context()
    const e = await refusal(caller.client(Secret, { server: 'between' }).whisper(ctx, {}))
    expect(e).toBeInstanceOf(RemoteError)
    expect(e).toMatchObject({ remoteClass: 'Error', remoteMessage: 'the spring is broken', requestId: ctx.requestId })
    expect((e as RemoteError).remoteStack).toMatch(/kit\.ts/)
    expect((e as RemoteError).message).not.toMatch(/kit\.ts/)
    const logged = heard.lines.find((line) => line.level === 50)
    expect(logged).toMatchObject({
      requestId: ctx.requestId,
      method: 'break',
      err: { stack: expect.stringMatching(/kit\.ts/) },
    })
  })

  test('what is thrown need not be an error', async () => {
    const [server, caller] = [await bus(), await bus()]
    const api = toys({
      break: async () => {
        throw 'just so'
      },
      nothing: (async () => ({ n: 1n })) as never,
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 1 })
    expect(await refusal(caller.client(Toys).break(context(), { how: '' }))).toMatchObject({ remoteMessage: 'just so' })
    expect(await refusal(caller.client(Toys).nothing(context(), {}))).toMatchObject({ remoteClass: 'TypeError' })
  })

  test('a call that is not answered in time fails, and its late answer harms nobody', async () => {
    const [server, caller] = [await bus(), await bus()]
    const [hold, ended] = [later<string>(), later()]
    const api = toys({ slow: () => hold.promise.finally(ended.resolve) })
    await server.serve([served(Toys, api)], { server: 'h', slots: 2 })
    const client = caller.client(Toys, { server: 'h' })
    const e = await refusal(client.slow(context(), { ms: 0 }, { timeoutMs: 200 }))
    expect(e).toMatchObject({ code: 'CallTimeout', params: { target: 'toys.h', method: 'slow', seconds: 0.2 } })
    hold.resolve('too late')
    await ended.promise
    expect(await client.add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
  })

  test('nobody there: call and cast fail in less than a second', async () => {
    const caller = await bus()
    for (const target of [{}, { server: 'nowhere' }]) {
      const client = caller.client(Toys, target)
      const name = target.server === undefined ? 'toys' : 'toys.nowhere'
      for (const ask of [() => client.add(context(), { a: 1, b: 1 }), () => client.drop(context(), { what: '' })]) {
        const begun = performance.now()
        expect(await refusal(ask())).toMatchObject({ code: 'HostUnreachable', params: { target: name } })
        expect(performance.now() - begun).toBeLessThan(1_000)
      }
    }
  })

  test('a server that stopped is nobody, and what it had begun it has finished', async () => {
    const [server, caller] = [await bus(), await bus()]
    const [begun, hold] = [later(), later<string>()]
    const api = toys({
      slow: () => {
        begun.resolve()
        return hold.promise
      },
    })
    const { stop } = await server.serve([served(Toys, api)], { server: 'h', slots: 2 })
    const client = caller.client(Toys, { server: 'h' })
    const answer = client.slow(context(), { ms: 0 })
    await begun.promise
    const stopping = stop()
    while (!((await client.add(context(), { a: 1, b: 1 }).catch((e) => e)) instanceof Failure));
    hold.resolve('finished')
    expect(await answer).toBe('finished')
    await stopping
    expect(await refusal(client.drop(context(), { what: '' }))).toMatchObject({ code: 'HostUnreachable' })
  })

  test('a server works on no more at once than it has slots', async () => {
    const [server, caller] = [await bus(), await bus()]
    let [running, most] = [0, 0]
    const api = toys({
      slow: async () => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return ''
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 3 })
    const [any, one] = [caller.client(Toys), caller.client(Toys, { server: 'h' })]
    await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? any : one).slow(context(), { ms: 0 })))
    expect(most).toBe(3)
  })

  test('versions: an older minor is served, a newer one and another major are not', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
    const at = (version: string) =>
      caller.client(contract('toys', version, { add: { ...Toys.methods.add, since: version } }))
    expect(await at('1.0').add(context(), { a: 1, b: 1 })).toEqual({ sum: 2 })
    for (const version of ['1.4', '2.0', '0.9', 'one']) {
      expect(await refusal(at(version).add(context(), { a: 1, b: 1 }))).toMatchObject({
        code: 'UnsupportedVersion',
        params: { topic: 'toys', version, supported: '1.3' },
      })
    }
  })

  test('methods and namespaces that are not served are refused', async () => {
    const [server, caller] = [await bus(), await bus()]
    await server.serve([served(Toys, toys()), served(Secret, { whisper: async () => 'psst' })], {
      server: 'h',
      slots: 1,
    })
    const { add } = Toys.methods
    for (const name of ['subtract', 'constructor', 'toString', 'hasOwnProperty']) {
      const methods = Object.fromEntries([[name, add]])
      const Odd = {
        topic: 'toys',
        version: '1.0',
        namespace: undefined,
        methods: Object.assign(Object.create(null), methods),
      }
      const client = caller.client(Odd)
      const ask = client[name] as (ctx: Context, args: object) => Promise<unknown>
      expect(await refusal(ask(context(), { a: 1, b: 1 }))).toMatchObject({
        code: 'UnknownMethod',
        params: { topic: 'toys', method: name },
      })
    }
    expect(await caller.client(Secret).whisper(context(), {})).toBe('psst')
    const elsewhere = caller.client(contract('toys', '2.1', Secret.methods, 'open'))
    expect(await refusal(elsewhere.whisper(context(), {}))).toMatchObject({ params: { method: 'open.whisper' } })
    const bare = caller.client(contract('toys', '1.0', Secret.methods))
    expect(await refusal(bare.whisper(context(), {}))).toMatchObject({ params: { method: 'whisper' } })
  })

  test('one process may serve many names, and each of them gets its own', async () => {
    const [server, caller] = [await bus(), await bus()]
    const names = ['h1', 'h2', 'h3']
    let fanned = 0
    const all = later()
    for (const name of names) {
      const api = toys({
        paint: async () => name,
        drop: async () => {
          if (++fanned === names.length) all.resolve()
        },
      })
      await server.serve([served(Toys, api)], { server: name, slots: 1 })
    }
    const answers = await Promise.all(
      names.map((name) => caller.client(Toys, { server: name }).paint(context(), { colour: 'red' })),
    )
    expect(answers).toEqual(names)
    await fanout(broker.url, 'toys', { method: 'drop', args: { what: '' } })
    await all.promise
  })

  test('closing confirms what was cast, answers what was asked, and fails what it asked itself', async () => {
    const [server, caller] = [await join(broker.url), await join(broker.url)]
    const got: string[] = []
    const [begun, hold, all] = [later(), later<string>(), later()]
    const api = toys({
      slow: () => {
        begun.resolve()
        return hold.promise
      },
      drop: async (_ctx, { what }) => {
        got.push(what)
        if (got.length === 50) all.resolve()
      },
    })
    await server.serve([served(Toys, api)], { server: 'h', slots: 50 })
    const unanswered = refusal(caller.client(Toys).slow(context(), { ms: 0 }))
    await begun.promise
    const casts = Array.from({ length: 50 }, (_, i) => caller.client(Toys).drop(context(), { what: String(i) }))
    await caller.close()
    await Promise.all(casts)
    expect(await unanswered).toMatchObject({ code: 'BusDown', message: expect.stringMatching(/disconnected/) })
    await all.promise
    expect(got).toHaveLength(50)
    const asker = await bus()
    const asked = asker.client(Toys).slow(context(), { ms: 0 })
    await asker.client(Toys).add(context(), { a: 1, b: 1 })
    const closing = server.close()
    hold.resolve('answered before the end')
    expect(await asked).toBe('answered before the end')
    await closing
    expect(server.up).toBe(false)
    expect(await refusal(server.client(Toys).add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'BusDown' })
    await server.close()
  })

  test('a handler of a method that the contract has must be there', async () => {
    const server = await bus({ log: silentLog })
    const { add: _gone, ...rest } = toys()
    expect(await refusal(server.serve([served(Toys, rest as never)], { server: 'h', slots: 1 }))).toMatchObject({
      message: 'bug: toys.add has no implementation',
    })
  })
})
