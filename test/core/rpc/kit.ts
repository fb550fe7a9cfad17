import { connect } from 'amqplib'
import * as z from 'zod'
import { systemClock } from '../../../src/core/base/clock.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { type Log, openLog, silentLog } from '../../../src/core/base/log.ts'
import { startBroker } from '../../../src/core/broker/broker.ts'
import type { Context } from '../../../src/core/model/context.ts'
import type { Bus, BusOptions } from '../../../src/core/rpc/bus.ts'
import { connectBus } from '../../../src/core/rpc/connect.ts'
import { type Api, call, cast, contract } from '../../../src/core/rpc/contract.ts'
import { hasRabbitmq, rabbitmq, rabbitmqctl } from '../../kit/rabbitmq.ts'

/** A broker for one suite. `wipe` makes it lose all connections and queues, and it comes back empty. */
export type TestBroker = { url: string; port: number; wipe(): Promise<void>; drop(): Promise<void> }

/** RabbitMQ, whose operator may delete any queue, even one that a connection has to itself. */
export type OperatedBroker = TestBroker & { deleteQueue(name: string): Promise<unknown> }

const embedded = async (): Promise<TestBroker> => {
  const begin = (port: number) => startBroker({ listen: [{ port }], users: { nova: 'pass-word' }, log: silentLog })
  let broker = await begin(0)
  const { port } = broker.addresses()[0] as { port: number }
  return {
    url: `amqp://nova:pass-word@127.0.0.1:${port}`,
    port,
    async wipe() {
      await broker.close()
      broker = await begin(port)
    },
    drop: () => broker.close(),
  }
}

const real = async (): Promise<OperatedBroker> => {
  const vhost = await rabbitmq()
  if (vhost === undefined) throw new Error('RabbitMQ was there a moment ago')
  const name = vhost.url.split('/').at(-1) ?? ''
  return {
    url: vhost.url,
    port: 5672,
    async wipe() {
      // Whoever declares queues while their virtual host is being deleted leaves half of them behind, so nobody may be there.
      await rabbitmqctl('clear_permissions', '-p', name, 'guest')
      await rabbitmqctl('close_all_connections', '--vhost', name, 'wiped by a test')
      await rabbitmqctl('delete_vhost', name)
      await rabbitmqctl('add_vhost', name)
      await rabbitmqctl('set_permissions', '-p', name, 'guest', '.*', '.*', '.*')
    },
    deleteQueue: (queue) => rabbitmqctl('delete_queue', '-p', name, queue),
    drop: vhost.drop,
  }
}

const found = await hasRabbitmq()

/** The brokers that the suites run on. */
export const brokers: ReadonlyArray<[string, () => Promise<TestBroker>]> = [
  ['the embedded broker', embedded],
  ...(found ? [['RabbitMQ', real] as [string, () => Promise<TestBroker>]] : []),
]

/** Those of them that somebody operates from outside. */
export const operatedBrokers: ReadonlyArray<[string, () => Promise<OperatedBroker>]> = found ? [['RabbitMQ', real]] : []

/** A contract to try everything with. */
export const Toys = contract('toys', '1.3', {
  add: call(z.object({ a: z.number(), b: z.number() }), z.object({ sum: z.number() })),
  paint: call(z.object({ colour: z.enum(['red', 'green']), coats: z.int().min(1).optional() }), z.string()),
  slow: call(z.object({ ms: z.number() }), z.string()),
  break: call(z.object({ how: z.string() }), z.string()),
  nothing: call(z.object({}), z.void()),
  maybe: call(z.object({}), z.string().nullable()),
  drop: cast(z.object({ what: z.string() })),
})
export const Secret = contract('toys', '2.1', { whisper: call(z.object({}), z.string()) }, 'secret')

/** A server of toys that does nothing of its own accord; override what a test wants. */
export const toys = (over: Partial<Api<typeof Toys>> = {}): Api<typeof Toys> => ({
  add: async (_ctx, { a, b }) => ({ sum: a + b }),
  paint: async (_ctx, { colour }) => colour,
  slow: async (_ctx, { ms }) => {
    await systemClock.sleep(ms)
    return 'done'
  },
  break: async (_ctx, { how }) => {
    throw new Error(how)
  },
  nothing: async () => undefined,
  maybe: async () => null,
  drop: async () => undefined,
  ...over,
})

export const context = (over: Partial<Context> = {}): Context => ({
  requestId: systemIds.requestId(),
  userId: 'ann',
  projectId: 'demo',
  roles: ['member'],
  isAdmin: false,
  ...over,
})

/** Connects with short patience; the options may say otherwise. */
export const join = (url: string, over: Partial<BusOptions> = {}): Promise<Bus> =>
  connectBus({
    url,
    name: 'test',
    log: silentLog,
    clock: systemClock,
    ids: systemIds,
    callTimeoutMs: 5_000,
    graceMs: 3_000,
    ...over,
  })

/** A log whose lines a test can read. */
export function recorder(): { log: Log; lines: Array<Record<string, unknown>>; text(): string } {
  const raw: string[] = []
  const lines: Array<Record<string, unknown>> = []
  const log = openLog('debug', {
    write(line: string) {
      raw.push(line)
      lines.push(JSON.parse(line))
    },
  })
  return { log, lines, text: () => raw.join('') }
}

/** A peer that speaks plain AMQP. */
export async function plain(url: string) {
  const connection = await connect(url, { noDelay: true })
  connection.on('error', () => undefined)
  const channel = await connection.createChannel()
  channel.on('error', () => undefined)
  return { connection, channel, close: () => connection.close() }
}

export const envelope = (message: unknown): Buffer =>
  Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) }))

export const opened = (body: Buffer): Record<string, unknown> => JSON.parse(JSON.parse(body.toString())['oslo.message'])

/** Casts to every server of a topic, as oslo.messaging does. */
export async function fanout(url: string, topic: string, message: object): Promise<void> {
  const { connection, close } = await plain(url)
  const channel = await connection.createConfirmChannel()
  const exchange = `${topic}_fanout`
  await channel.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true })
  channel.publish(exchange, '', envelope({ version: '1.0', _unique_id: systemIds.hex(), ...message }))
  await channel.waitForConfirms()
  await close()
}

/** A promise and its ends. */
export function later<T = void>() {
  let resolve!: (value: T) => void
  let reject!: (e: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** What a promise was rejected with. */
export const refusal = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => {
      throw new Error(`not refused, but answered: ${JSON.stringify(value)}`)
    },
    (e) => e,
  )
