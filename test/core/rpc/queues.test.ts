import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import type { QueueKind } from '../../../src/core/rpc/topology.ts'
import { type Declared, startRecordingProxy } from '../../kit/proxy.ts'
import { brokers, context, fanout, join, later, plain, refusal, type TestBroker, Toys, toys } from './kit.ts'

/** What `bus.queues` may say; everything else in this room is tried with the default, `durable`. */
const kinds: Array<[QueueKind, Partial<Declared>, object]> = [
  [
    'durable',
    { durable: true, exclusive: false, autoDelete: true },
    { durable: true, autoDelete: true, expires: 60_000 },
  ],
  [
    'quorum',
    { durable: true, exclusive: false, autoDelete: false },
    { durable: true, arguments: { 'x-queue-type': 'quorum' } },
  ],
  ['transient', { durable: false, exclusive: false, autoDelete: false }, { durable: false }],
]

describe.each(brokers)('queues on %s', (_name, open) => {
  describe.each(kinds)('of the kind %s', (queues, flags, asOthers) => {
    let at: TestBroker
    const buses: Bus[] = []
    beforeAll(async () => {
      at = await open()
    })
    afterAll(() => at.drop())
    afterEach(async () => {
      await Promise.all(buses.splice(0).map((bus) => bus.close()))
    })
    const bus = async (url = at.url) => {
      const joined = await join(url, { queues, graceMs: 1_000 })
      buses.push(joined)
      return joined
    }

    test('only the shared queue is not exclusive, and it is declared as the setting says', async () => {
      const wire = await startRecordingProxy(at)
      const via = new URL(at.url)
      via.host = `127.0.0.1:${wire.port}`
      const one = await bus(via.href)
      await one.serve([served(Toys, toys())], { server: 'h', slots: 1 })
      await one.subscribe(['toy.#'], () => undefined)
      await one.client(Toys).drop(context(), { what: 'opens the channel for casts' })
      const declared = wire.declared()
      const names = declared.map(({ queue }) => queue.replace(/[0-9a-f]{32}/, '…'))
      expect(new Set(names)).toEqual(new Set(['reply_…', 'toys', 'toys.h', 'toys_fanout_…', 'nova_events_…']))
      expect(declared.filter(({ exclusive }) => !exclusive)).toEqual([{ queue: 'toys', ...flags }])
      const peer = await plain(at.url)
      await peer.channel.assertQueue('toys', asOthers)
      await peer.close()
      await wire.close()
    })

    test('calls, casts and fanouts arrive; a server that stops loses nothing, and one that is gone is known at once', async () => {
      const [one, two, caller] = [await bus(), await bus(), await bus()]
      const heard = later<string>()
      await one.serve([served(Toys, toys({ paint: async () => 'one' }))], { server: 'one', slots: 4 })
      const { stop } = await two.serve(
        [served(Toys, toys({ paint: async () => 'two', drop: async (_ctx, { what }) => heard.resolve(what) }))],
        { server: 'two', slots: 4 },
      )
      const any = caller.client(Toys)
      const painted = await Promise.all(Array.from({ length: 8 }, () => any.paint(context(), { colour: 'red' })))
      expect(new Set(painted)).toEqual(new Set(['one', 'two']))
      await fanout(at.url, 'toys', { method: 'drop', args: { what: 'to all' } })
      expect(await heard.promise).toBe('to all')
      const flights = Array.from({ length: 32 }, () => any.add(context(), { a: 1, b: 1 }))
      await stop()
      expect(await Promise.all(flights)).toEqual(flights.map(() => ({ sum: 2 })))
      const gone = caller.client(Toys, { server: 'two' })
      expect(await refusal(gone.add(context(), { a: 1, b: 1 }))).toMatchObject({ code: 'HostUnreachable' })
      expect(await refusal(gone.drop(context(), { what: '' }))).toMatchObject({ code: 'HostUnreachable' })
    })

    test('what is asked of a topic without a server comes back at once, if its queue goes with its consumers', async () => {
      const [server, caller] = [await bus(), await bus()]
      const { stop } = await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
      await stop()
      const e = await refusal(caller.client(Toys).add(context(), { a: 1, b: 1 }, { timeoutMs: 300 }))
      expect(e).toMatchObject({ code: queues === 'durable' ? 'HostUnreachable' : 'CallTimeout' })
    })
  })
})
