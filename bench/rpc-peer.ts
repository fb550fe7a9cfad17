/**
 * One side of bench/rpc.ts in a process of its own: it does what each line of its input says, and answers with a line.
 *
 *   rpc-peer.ts <broker|server|client> <bare|ours> <url>
 *
 * "Bare" is the RPC of amqplib's tutorial: a transient queue, an own reply queue, correlation ids, one JSON.parse and
 * JSON.stringify a message, the request acknowledged after its answer. Ours adds the envelope (JSON in JSON), the context,
 * schemas at both ends, duplicates, timeouts, mandatory, acknowledged answers.
 */
import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import { type Channel, connect } from 'amqplib'
import * as z from 'zod'
import { systemClock } from '../src/core/base/clock.ts'
import { systemIds } from '../src/core/base/ids.ts'
import { silentLog } from '../src/core/base/log.ts'
import { parseAddresses } from '../src/core/rpc/address.ts'
import { served } from '../src/core/rpc/bus.ts'
import { connectBus } from '../src/core/rpc/connect.ts'
import { call, cast, contract } from '../src/core/rpc/contract.ts'

/**
 * Instructions to a side. `casts` are confirmed unless stated otherwise; `heard` is answered when that many have
 * arrived.
 */
export type RequestSpec =
  | { do: 'calls' | 'casts'; flight: number; ms: number; confirmed?: boolean }
  | { do: 'heard'; count: number }
  | { do: 'usage' }
/** Answers of a side: calls or casts made, the time of one in microseconds, CPU time of the process in microseconds. */
export type Told = { count: number; p50: number; p99: number; cpu: number }

type Send = () => Promise<unknown>
type Client = { call: Send; cast: Send; unconfirmed?: Send }

const Payload = z.object({ id: z.uuid(), name: z.string(), tags: z.array(z.string()), n: z.int() })
type Payload = z.infer<typeof Payload>
const Bench = contract('bench', '1.0', { echo: call(Payload, Payload), hear: cast(Payload) })
/** About a kilobyte of JSON. */
const payload: Payload = {
  id: systemIds.uuid(),
  name: 'x'.repeat(200),
  tags: Array.from({ length: 20 }, (_, i) => `tag-${i}-${'y'.repeat(28)}`),
  n: 42,
}
const ctx = { requestId: 'req-bench', userId: 'bench', projectId: 'bench', roles: ['admin'], isAdmin: true }
const slots = 64

const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

// What has arrived

let heard = 0
let waiting: { count: number; tell: () => void } | undefined
function hear(): void {
  heard++
  if (waiting !== undefined && heard >= waiting.count) waiting.tell()
}
const hearAll = (count: number): Promise<void> =>
  heard >= count ? Promise.resolve() : new Promise((tell) => (waiting = { count, tell }))

// amqplib by itself

const callQueue = 'bench_bare_calls'
const castQueue = 'bench_bare_casts'

async function bare(url: string) {
  const { connect: to, socket } = parseAddresses(url)[0]
  return connect(to, { noDelay: true, ...socket })
}

async function serveBare(url: string): Promise<void> {
  const channel = await (await bare(url)).createChannel()
  for (const queue of [callQueue, castQueue]) await channel.assertQueue(queue, { durable: false, autoDelete: true })
  await channel.prefetch(slots)
  await channel.consume(callQueue, (m) => {
    if (m === null) return
    const asked = JSON.parse(m.content.toString())
    const { replyTo, correlationId } = m.properties
    channel.publish('', replyTo, Buffer.from(JSON.stringify(asked)), { correlationId })
    channel.ack(m)
  })
  await channel.consume(castQueue, (m) => {
    if (m === null) return
    JSON.parse(m.content.toString())
    hear()
    channel.ack(m)
  })
}

async function askBare(url: string): Promise<Client> {
  const connection = await bare(url)
  const channel = await connection.createChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true })
  const asked = new Map<string, (value: unknown) => void>()
  await channel.consume(
    queue,
    (m) => {
      if (m === null) return
      const id = m.properties.correlationId
      asked.get(id)?.(JSON.parse(m.content.toString()))
      asked.delete(id)
    },
    { noAck: true },
  )
  const confirms = await connection.createConfirmChannel()
  const casts: Channel = await connection.createChannel()
  casts.setMaxListeners(0)
  const body = () => Buffer.from(JSON.stringify(payload))
  return {
    call: () =>
      new Promise((resolve) => {
        const correlationId = systemIds.hex()
        asked.set(correlationId, resolve)
        channel.publish('', callQueue, body(), { replyTo: queue, correlationId })
      }),
    cast: () =>
      new Promise<void>((resolve, reject) => {
        confirms.publish('', castQueue, body(), {}, (e) => (e ? reject(e) : resolve()))
      }),
    // Nothing reports the arrival: as fast as the socket accepts it.
    unconfirmed: async () => {
      if (casts.publish('', castQueue, body())) await turn()
      else await new Promise((room) => casts.once('drain', room))
    },
  }
}

// Ours

const join = (url: string) => connectBus({ url, name: 'bench', log: silentLog, clock: systemClock, ids: systemIds })

async function serveOurs(url: string): Promise<void> {
  const bus = await join(url)
  const api = { echo: async (_ctx: unknown, args: Payload) => args, hear: async () => hear() }
  await bus.serve([served(Bench, api)], { server: 'bench', slots })
}

async function askOurs(url: string): Promise<Client> {
  const client = (await join(url)).client(Bench)
  return { call: () => client.echo(ctx, payload), cast: () => client.hear(ctx, payload) }
}

async function startBroker(): Promise<string> {
  const { startBroker: start } = await import('../src/core/broker/broker.ts')
  const broker = await start({ listen: [{ port: 0 }], users: { bench: 'bench' }, log: silentLog })
  const { port } = broker.addresses()[0] as { port: number }
  return `amqp://bench:bench@127.0.0.1:${port}`
}

// Measuring

/** This many in flight; each next one starts when an earlier one is done. */
async function measure(send: Send, flight: number, ms: number): Promise<Told> {
  const used = cpu()
  const end = performance.now() + ms
  const took: number[] = []
  const fly = async () => {
    for (let begun = performance.now(); begun < end; ) {
      await send()
      const now = performance.now()
      took.push(now - begun)
      begun = now
    }
  }
  await Promise.all(Array.from({ length: flight }, fly))
  const spent = cpu() - used
  took.sort((a, b) => a - b)
  const at = (share: number) => Math.round((took[Math.floor(took.length * share)] ?? 0) * 1000)
  return { count: took.length, p50: at(0.5), p99: at(0.99), cpu: spent }
}

async function carryOut(request: RequestSpec, client: Client | undefined): Promise<Told> {
  const nothing = { count: heard, p50: 0, p99: 0 }
  if (request.do === 'usage') return { ...nothing, cpu: cpu() }
  if (request.do === 'heard') {
    await hearAll(request.count)
    return { ...nothing, cpu: cpu() }
  }
  if (client === undefined) throw new Error('this side does not ask')
  const send = request.do === 'calls' ? client.call : request.confirmed === false ? client.unconfirmed : client.cast
  if (send === undefined) throw new Error('this make has no such cast')
  return measure(send, request.flight, request.ms)
}

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

if (process.argv[1] === import.meta.filename) {
  const [role, make, url = ''] = process.argv.slice(2)
  let client: Client | undefined
  let address = url
  if (role === 'broker') address = await startBroker()
  else if (role === 'server') await (make === 'bare' ? serveBare(url) : serveOurs(url))
  else client = await (make === 'bare' ? askBare(url) : askOurs(url))
  say({ ready: address })
  for await (const line of createInterface(process.stdin)) say(await carryOut(JSON.parse(line) as RequestSpec, client))
  process.exit()
}
