import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../../src/core/base/log.ts'
import { startBroker } from '../../../src/core/broker/broker.ts'
import { served } from '../../../src/core/rpc/bus.ts'
import { brokers, context, join, plain, refusal, Toys, toys } from './kit.ts'

test.each(brokers)('an exchange or a queue with other flags is told as that, at once: %s', async (_name, start) => {
  const broker = await start()
  onTestFinished(() => broker.drop())
  const peer = await plain(broker.url)
  await peer.channel.assertQueue('toys', { durable: false, autoDelete: false })
  const bus = await join(broker.url)
  const wrongQueue = await refusal(bus.serve([served(Toys, toys())], { server: 'h', slots: 1 }))
  expect(wrongQueue).toMatchObject({
    code: 'BusConflict',
    message: expect.stringMatching(/PRECONDITION.FAILED.*queue 'toys'/),
  })
  await bus.close()
  await peer.channel.deleteQueue('toys')
  await peer.channel.deleteExchange('nova')
  await peer.channel.assertExchange('nova', 'topic', { durable: false })
  const wrongExchange = await refusal(join(broker.url))
  expect(wrongExchange).toMatchObject({ code: 'BusConflict', message: expect.stringMatching(/exchange 'nova'/) })
  await peer.channel.deleteExchange('nova')
  await peer.close()
})

test('flags that became others while the process ran are told as that, and it goes on when they are right', async () => {
  const [, start] = brokers[0]!
  const broker = await start()
  onTestFinished(() => broker.drop())
  const bus = await join(broker.url, { graceMs: 500 })
  const peer = await plain(broker.url)
  await peer.channel.deleteExchange('nova')
  await peer.channel.assertExchange('nova', 'topic', { durable: false })
  const cast = () => refusal(bus.client(Toys, { server: 'h' }).drop(context(), { what: 'x' }))
  expect(await cast()).toMatchObject({ code: 'BusConflict' })
  await peer.channel.deleteExchange('nova')
  await expect.poll(cast, { timeout: 20_000 }).toMatchObject({ code: 'HostUnreachable' })
  await Promise.all([bus.close(), peer.close()])
})

test('permissions that are missing are told as that, with what to do', async () => {
  const broker = await startBroker({ listen: [{ port: 0 }], users: {}, log: silentLog })
  onTestFinished(() => broker.close())
  const [at] = broker.addresses()
  const { password } = broker.putUser('ann', { configure: '^$', write: '^$', read: '^$', topics: [] })
  const e = await refusal(join(`amqp://ann:${password}@127.0.0.1:${(at as { port: number }).port}`))
  expect(e).toMatchObject({
    code: 'BusRefused',
    message: expect.stringMatching(/refused access: ACCESS.REFUSED - access to exchange 'nova'/),
    hint: expect.stringContaining('Give that user the permission'),
  })
})
