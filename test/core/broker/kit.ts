import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  connect,
  type Options,
} from 'amqplib'
import { afterAll, afterEach } from 'vitest'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { type Broker, type BrokerOptions, startBroker } from '../../../src/core/broker/broker.ts'
import { rabbitmq } from '../../kit/rabbitmq.ts'

export type Bus = { name: string; url: string }

/** The port of a broker's first TCP address. */
export function portOf(broker: Broker): number {
  const tcp = broker.addresses().find((each) => 'port' in each)
  if (!tcp || !('port' in tcp)) throw new Error('it listens on no port')
  return tcp.port
}

export const startTestBroker = (options: Partial<BrokerOptions> = {}): Promise<Broker> =>
  startBroker({ listen: [{ port: 0 }], users: { guest: 'guest' }, log: silentLog, ...options })

/** The brokers that a bus test runs against: the embedded one, and RabbitMQ where there is one. Gone after the file. */
export async function buses(): Promise<Bus[]> {
  const broker = await startTestBroker()
  const rabbit = await rabbitmq()
  afterAll(async () => {
    await broker.close()
    await rabbit?.drop()
  })
  const embedded = { name: 'the embedded broker', url: `amqp://guest:guest@127.0.0.1:${portOf(broker)}` }
  return rabbit ? [embedded, { name: 'RabbitMQ', url: rabbit.url }] : [embedded]
}

const open: ChannelModel[] = []

/** To be called once a file: closes after each test what {@link client} opened. */
export function closeClients(): void {
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close().catch(() => undefined)))
  })
}

/** Loses a connection: the socket goes without a word. */
export function cut(model: ChannelModel): void {
  open.splice(open.indexOf(model), 1)
  const { stream } = model.connection as unknown as { stream: { destroy(): void } }
  stream.destroy()
}

/** A connection that is closed after the test. */
export async function client(url: string, options: Record<string, unknown> = {}): Promise<ChannelModel> {
  const frameMax = options.frameMax === undefined ? '' : `?frameMax=${options.frameMax}`
  const model = await connect(`${url}${frameMax}`, { noDelay: true, ...options })
  model.on('error', () => {})
  open.push(model)
  return model
}

/** A channel on a connection of its own; errors of the channel are the test's business. */
export async function channel(url: string): Promise<ConfirmChannel> {
  return quiet(await (await client(url)).createConfirmChannel())
}

export function quiet<C extends Channel>(ch: C): C {
  ch.on('error', () => {})
  return ch
}

/** A name that no other test uses. */
export const fresh = (what: string): string => `${what}-${systemIds.hex().slice(0, 12)}`

/** What a consumer got, in order, with a way to wait for more. */
export class Inbox {
  readonly all: ConsumeMessage[] = []
  consumerTag = ''
  cancelled = false
  #watchers: Array<() => void> = []

  take(message: ConsumeMessage | null): void {
    if (message) this.all.push(message)
    else this.cancelled = true
    for (const each of this.#watchers.splice(0)) each()
  }

  get texts(): string[] {
    return this.all.map((each) => each.content.toString())
  }

  async until(done: (inbox: Inbox) => boolean): Promise<void> {
    while (!done(this)) await new Promise<void>((resolve) => this.#watchers.push(resolve))
  }

  /** The messages once there are at least `count`. */
  async upTo(count: number): Promise<ConsumeMessage[]> {
    await this.until(() => this.all.length >= count)
    return this.all
  }
}

export async function consume(ch: Channel, queue: string, options: Options.Consume = {}): Promise<Inbox> {
  const inbox = new Inbox()
  const { consumerTag } = await ch.consume(queue, (message) => inbox.take(message), options)
  inbox.consumerTag = consumerTag
  return inbox
}

/** Publishes texts to a queue, and waits until the broker has them. */
export async function send(ch: ConfirmChannel, queue: string, texts: string[], options: Options.Publish = {}) {
  for (const text of texts) ch.sendToQueue(queue, Buffer.from(text), options)
  await ch.waitForConfirms()
}

/**
 * Waits until what is on its way to a channel has arrived: the second round trip starts behind everything that the first
 * one may have overtaken.
 */
export async function settled(ch: Channel, queue: string): Promise<void> {
  for (let i = 0; i < 3; i++) await ch.checkQueue(queue)
}

/** Takes everything out of a queue. */
export async function drain(ch: Channel, queue: string): Promise<string[]> {
  const texts: string[] = []
  for (let got = await ch.get(queue, { noAck: true }); got; got = await ch.get(queue, { noAck: true })) {
    texts.push(got.content.toString())
  }
  return texts
}

/** The code and text that the server closed a channel with because of `action`. */
export async function refusal(ch: Channel, action: () => unknown): Promise<{ code: number; text: string }> {
  const refused = new Promise<{ code: number; text: string }>((resolve) => {
    ch.once('error', (e: Error & { code: number }) => {
      resolve({ code: e.code, text: /with message "(.*)"$/.exec(e.message)?.[1] ?? e.message })
    })
  })
  await Promise.resolve(action()).catch(() => undefined)
  return refused
}
