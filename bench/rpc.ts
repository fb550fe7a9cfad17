/**
 * Calls a second through our RPC as a ratio of bare amqplib on the same broker, with client and server in two processes:
 *
 *   npx tsx bench/rpc.ts --url amqp://guest:guest@127.0.0.1/vhost [--ms 400] [--rounds 15] [--json]
 *
 * Without --url it starts the embedded broker in a third process. "Bare" is the RPC of amqplib's tutorial: a transient queue, an
 * own reply queue, correlation ids, one JSON.parse and JSON.stringify a message, the request acknowledged after its answer. Ours
 * adds the envelope (JSON in JSON), the context, schemas at both ends, duplicates, timeouts, mandatory, acknowledged answers.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { connect } from 'amqplib'
import * as z from 'zod'
import { systemClock } from '../src/core/base/clock.ts'
import { systemIds } from '../src/core/base/ids.ts'
import { silentLog } from '../src/core/base/log.ts'
import { parseAddresses } from '../src/core/rpc/address.ts'
import { served } from '../src/core/rpc/bus.ts'
import { connectBus } from '../src/core/rpc/connect.ts'
import { call, contract } from '../src/core/rpc/contract.ts'

const { values: flags } = parseArgs({
  options: {
    url: { type: 'string' },
    ms: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '15' },
    json: { type: 'boolean', default: false },
    role: { type: 'string' },
  },
})

const Payload = z.object({ id: z.uuid(), name: z.string(), tags: z.array(z.string()), n: z.int() })
type Payload = z.infer<typeof Payload>
const Echo = contract('bench', '1.0', { echo: call(Payload, Payload) })
/** About a kilobyte of JSON. */
const payload: Payload = {
  id: systemIds.uuid(),
  name: 'x'.repeat(200),
  tags: Array.from({ length: 20 }, (_, i) => `tag-${i}-${'y'.repeat(28)}`),
  n: 42,
}
const ctx = { requestId: 'req-bench', userId: 'bench', projectId: 'bench', roles: ['admin'], isAdmin: true }
const bareQueue = 'bench_bare'
type Ask = () => Promise<unknown>

async function bare(url: string) {
  const { connect: to, socket } = parseAddresses(url)[0]
  const connection = await connect(to, { noDelay: true, ...socket })
  return { connection, channel: await connection.createChannel() }
}

async function serveBare(url: string): Promise<void> {
  const { channel } = await bare(url)
  await channel.assertQueue(bareQueue, { durable: false, autoDelete: true })
  await channel.prefetch(64)
  await channel.consume(bareQueue, (m) => {
    if (m === null) return
    const asked = JSON.parse(m.content.toString())
    const { replyTo, correlationId } = m.properties
    channel.publish('', replyTo, Buffer.from(JSON.stringify(asked)), { correlationId })
    channel.ack(m)
  })
}

async function askBare(url: string): Promise<Ask> {
  const { channel } = await bare(url)
  const { queue } = await channel.assertQueue('', { exclusive: true })
  const waiting = new Map<string, (value: unknown) => void>()
  await channel.consume(
    queue,
    (m) => {
      if (m === null) return
      const id = m.properties.correlationId
      waiting.get(id)?.(JSON.parse(m.content.toString()))
      waiting.delete(id)
    },
    { noAck: true },
  )
  return () =>
    new Promise((resolve) => {
      const correlationId = systemIds.hex()
      waiting.set(correlationId, resolve)
      channel.publish('', bareQueue, Buffer.from(JSON.stringify(payload)), { replyTo: queue, correlationId })
    })
}

const join = (url: string) => connectBus({ url, name: 'bench', log: silentLog, clock: systemClock, ids: systemIds })

async function serveOurs(url: string): Promise<void> {
  const bus = await join(url)
  await bus.serve([served(Echo, { echo: async (_ctx, args) => args })], { server: 'bench', slots: 64 })
}

async function askOurs(url: string): Promise<Ask> {
  const client = (await join(url)).client(Echo)
  return () => client.echo(ctx, payload)
}

/** Calls a second with so many in flight. */
async function measure(ask: Ask, flight: number, ms: number): Promise<number> {
  const begun = performance.now()
  const end = begun + ms
  let calls = 0
  const fly = async () => {
    for (; performance.now() < end; calls++) await ask()
  }
  await Promise.all(Array.from({ length: flight }, fly))
  return (calls * 1000) / (performance.now() - begun)
}

const median = (of: number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? 0

type Row = { flight: number; bare: number; ours: number; ratio: number }

/** Both in turns of a fraction of a second, so that what else the machine does falls on both; the ratio is that of such a pair. */
async function compare(url: string): Promise<Row[]> {
  const [bareAsk, ourAsk] = [await askBare(url), await askOurs(url)]
  const ms = Number(flags.ms)
  const rows: Row[] = []
  for (const flight of [1, 32]) {
    for (const ask of [bareAsk, ourAsk]) await measure(ask, flight, 1_000)
    const pairs: Array<{ bare: number; ours: number }> = []
    for (let i = 0; i < Number(flags.rounds); i++) {
      pairs.push({ bare: await measure(bareAsk, flight, ms), ours: await measure(ourAsk, flight, ms) })
    }
    rows.push({
      flight,
      bare: Math.round(median(pairs.map((pair) => pair.bare))),
      ours: Math.round(median(pairs.map((pair) => pair.ours))),
      ratio: Number(median(pairs.map((pair) => pair.ours / pair.bare)).toFixed(2)),
    })
  }
  return rows
}

const child = (args: string[]): ChildProcess =>
  fork(import.meta.filename, args, { execArgv: process.execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })

async function told<T>(from: ChildProcess): Promise<T> {
  const [message] = await once(from, 'message')
  return message as T
}

async function parent(): Promise<void> {
  const broker = flags.url === undefined ? child(['--role', 'broker']) : undefined
  const url = flags.url ?? (await told<string>(broker!))
  const server = child(['--role', 'server', '--url', url])
  await told(server)
  const client = child(['--role', 'client', '--url', url, '--ms', flags.ms, '--rounds', flags.rounds])
  const rows = await told<Row[]>(client)
  for (const done of [client, server, broker]) done?.kill()
  if (flags.json) console.log(JSON.stringify({ broker: parseAddresses(url)[0].shown, rows }))
  else
    console.table(
      rows.map((r) => ({ 'in flight': r.flight, 'bare calls/s': r.bare, 'our calls/s': r.ours, ratio: r.ratio })),
    )
}

if (flags.role === 'broker') {
  const { startBroker } = await import('../src/core/broker/broker.ts')
  const broker = await startBroker({ listen: [{ port: 0 }], users: { bench: 'bench' }, log: silentLog })
  const { port } = broker.addresses()[0] as { port: number }
  process.send?.(`amqp://bench:bench@127.0.0.1:${port}`)
} else if (flags.role === 'server') {
  await Promise.all([serveBare(flags.url ?? ''), serveOurs(flags.url ?? '')])
  process.send?.('ready')
} else if (flags.role === 'client') {
  process.send?.(await compare(flags.url ?? ''))
} else {
  await parent()
}
