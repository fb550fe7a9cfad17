import { expect, onTestFinished, test } from 'vitest'
import { served } from '../../../src/core/rpc/bus.ts'
import { consumeQueue } from '../../../src/core/rpc/consume.ts'
import type { Holder } from '../../../src/core/rpc/holder.ts'
import { sharedQueue } from '../../../src/core/rpc/topology.ts'
import { brokers, context, join, later, plain, recorder, Toys, toys } from './kit.ts'

test.each(brokers)('a shared queue that no message reaches any more is bound anew: %s', async (_name, start) => {
  const broker = await start()
  onTestFinished(() => broker.drop())
  const { log, lines } = recorder()
  const bus = await join(broker.url, { log })
  await bus.serve([served(Toys, toys())], { server: 'h', slots: 1, forHosts: true, pingMs: 150 })
  const peer = await plain(broker.url)
  for (const exchange of ['nova', 'nova_hosts']) {
    // Again, if the other exchange's turn has just bound this one anew.
    const isNoticed = async () => {
      await peer.channel.unbindQueue('toys', exchange, 'toys')
      return lines.some((line) => line.exchange === exchange && `${line.msg}`.includes('binding it anew'))
    }
    await expect.poll(isNoticed, { timeout: 10_000, interval: 300 }).toBe(true)
  }
  const client = bus.client(Toys)
  await expect.poll(() => client.add(context(), { a: 1, b: 2 }).catch(() => undefined)).toEqual({ sum: 3 })
  await Promise.all([bus.close(), peer.close()])
})

test.each(brokers)('a consumer that is renewed is one consumer, and takes messages: %s', async (_name, start) => {
  const broker = await start()
  onTestFinished(() => broker.drop())
  const peer = await plain(broker.url)
  await peer.channel.assertExchange('nova', 'topic')
  const got = later<string>()
  const holder = { log: recorder().log, changed: () => undefined } as unknown as Holder
  const plan = sharedQueue('toys', 'durable', ['nova'])
  const consumer = await consumeQueue(holder, peer.channel, plan, (m) => got.resolve(m.content.toString()))
  await consumer.renew()
  expect(await peer.channel.checkQueue('toys')).toMatchObject({ consumerCount: 1 })
  peer.channel.publish('nova', 'toys', Buffer.from('hello'))
  expect(await got.promise).toBe('hello')
  await peer.close()
})
