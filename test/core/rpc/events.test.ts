import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus, Received } from '../../../src/core/rpc/bus.ts'
import { startProxy } from '../../kit/proxy.ts'
import { brokers, join, later, opened, plain, recorder, type TestBroker } from './kit.ts'

describe.each(brokers)('events on %s', (_name, open) => {
  let broker: TestBroker
  let speaker: Bus
  let hearer: Bus
  beforeAll(async () => {
    broker = await open()
    speaker = await join(broker.url)
    hearer = await join(broker.url)
  })
  afterAll(async () => {
    await Promise.all([speaker.close(), hearer.close()])
    await broker.drop()
  })

  /** Hears until an event with this body has come. */
  const until = (last: unknown) => {
    const heard: Received[] = []
    const done = later<Received[]>()
    const hear = (event: Received) => {
      if (event.body === last) done.resolve(heard)
      else heard.push(event)
    }
    return { hear, heard: done.promise }
  }

  test('patterns choose what is heard, in order', async () => {
    const words = until('end')
    const all = until('end')
    const stop = await hearer.subscribe(['instance.*.start', 'the.end'], words.hear)
    const stopAll = await hearer.subscribe(['#'], all.hear)
    await speaker.publish('instance.create.start', { id: 1, name: 'ü' })
    await speaker.publish('instance.create.end', { id: 1 })
    await speaker.publish('instance.create.disk.start', null)
    await speaker.publish('service.up', [1, 'two'])
    await speaker.publish('the.end', 'end')
    expect(await words.heard).toEqual([{ key: 'instance.create.start', body: { id: 1, name: 'ü' } }])
    expect((await all.heard).map((event) => event.body)).toEqual([{ id: 1, name: 'ü' }, { id: 1 }, null, [1, 'two']])
    await stop()
    await stopAll()
  })

  test('an event without a hearer, and one after its hearer has gone, are nothing', async () => {
    let heard = 0
    const stop = await hearer.subscribe(['gone'], () => heard++)
    await stop()
    await stop()
    await speaker.publish('gone', 1)
    const now = until('end')
    const stopNow = await hearer.subscribe(['now'], now.hear)
    await speaker.publish('now', 'end')
    await now.heard
    expect(heard).toBe(0)
    await stopNow()
  })

  test('a hearer that fails, and a body that is none, do not end the hearing', async () => {
    const log = recorder()
    const own = await join(broker.url, { log: log.log })
    const rest = until('end')
    await own.subscribe(['odd'], (event) => {
      if (event.body === 'bang') throw new Error('ears hurt')
      rest.hear(event)
    })
    const peer = await plain(broker.url)
    await speaker.publish('odd', 'bang')
    await speaker.publish('odd', 1)
    await speaker.publish('odd', undefined)
    const ends = later()
    await own.subscribe(['fence'], () => ends.resolve())
    await speaker.publish('fence', null)
    await ends.promise
    peer.channel.publish('nova_events', 'odd', Buffer.from('not JSON'))
    peer.channel.publish('nova_events', 'odd', Buffer.from('{"bare":true}'))
    peer.channel.publish('nova_events', 'odd', Buffer.from('"end"'))
    expect((await rest.heard).map((event) => event.body)).toEqual([1, null, { bare: true }])
    expect(log.lines.filter((line) => line.level === 40).map((line) => line.why)).toEqual([
      'ears hurt',
      'the body is not JSON',
    ])
    await own.close()
    await peer.close()
  })

  test('events go out in the 2.0 envelope on a topic exchange that outlives its readers', async () => {
    const peer = await plain(broker.url)
    await speaker.publish('first', 1)
    await speaker.queues([])
    await peer.channel.assertExchange('nova_events', 'topic', { durable: false })
    const { queue } = await peer.channel.assertQueue('', { exclusive: true })
    await peer.channel.bindQueue(queue, 'nova_events', 'seen')
    const seen = later<Record<string, unknown>>()
    await peer.channel.consume(queue, (m) => m && seen.resolve(opened(m.content)), { noAck: true })
    await speaker.publish('seen', { a: 1 })
    expect(await seen.promise).toEqual({ a: 1 })
    await peer.close()
  })

  test('while the bus is down the newest thousand wait, and closing sends what was just said', async () => {
    const proxy = await startProxy({ host: '127.0.0.1', port: broker.port })
    const via = new URL(broker.url)
    via.port = String(proxy.port)
    const log = recorder()
    const away = await join(via.href, { log: log.log })
    const all = until('end')
    const stop = await hearer.subscribe(['away'], all.hear)
    await away.publish('away', 'opens the channel')
    const down = new Promise<void>((resolve) => away.onLink((up) => up || resolve()))
    proxy.down()
    await down
    for (let i = 0; i < 1_500; i++) await away.publish('away', i)
    const up = new Promise<void>((resolve) => away.onLink((is) => is && resolve()))
    proxy.up()
    await up
    await away.publish('away', 'end')
    await away.close()
    const bodies = (await all.heard).map((event) => event.body).filter((body) => typeof body === 'number')
    expect(bodies).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 500))
    expect(log.lines.find((line) => Number(line.dropped) >= 500)).toBeDefined()
    await stop()
    const brief = await join(broker.url)
    const last = until('end')
    const stopLast = await hearer.subscribe(['last'], last.hear)
    for (let i = 0; i < 100; i++) await brief.publish('last', i)
    await brief.publish('last', 'end')
    await brief.close()
    expect(await last.heard).toHaveLength(100)
    await stopLast()
    await proxy.close()
  })
})
