/**
 * What a call and a cast cost through our RPC, through bare amqplib and through oslo.messaging, on RabbitMQ and on the
 * embedded broker, all in one run, with client, server and broker in processes of their own:
 *
 *   npx tsx bench/rpc.ts [--url amqp://guest:guest@127.0.0.1/vhost] [--ms 400] [--rounds 15] [--only ours]
 *     [--load calls] [--before ../checkout] [--json]
 *
 * Without --url there is only the embedded broker; without Debian's python3-oslo.messaging there is no oslo.messaging;
 * --before adds our client, server and broker as another checkout has them. They
 * take turns of a fraction of a second, so that what else the machine does falls on all; rates are medians, and ratios the
 * medians of those of each round. CPU is user and system time, of client and server together and of the broker.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { exec } from '../src/core/base/exec.ts'
import type { RequestSpec, Told } from './rpc-peer.ts'

const { values: flags } = parseArgs({
  options: {
    url: { type: 'string' },
    ms: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '15' },
    only: { type: 'string' },
    load: { type: 'string', default: '' },
    before: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const ms = Number(flags.ms)
const python = '/usr/bin/python3'

/** A process that follows instructions, one per line. */
class Side {
  readonly address: string
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, address: string) {
    this.#child = child
    this.#lines = lines
    this.address = address
  }

  static async start(command: string, args: string[]): Promise<Side> {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const { ready } = await read<{ ready: string }>(lines)
    return new Side(child, lines, ready)
  }

  static ofNode(...args: string[]): Promise<Side> {
    return Side.ofCheckout(resolve(import.meta.dirname, '..'), ...args)
  }

  static ofCheckout(directory: string, ...args: string[]): Promise<Side> {
    return Side.start(process.execPath, [...process.execArgv, resolve(directory, 'bench/rpc-peer.ts'), ...args])
  }

  tell(request: RequestSpec): Promise<Told> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`)
    return read<Told>(this.#lines)
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await ended
  }
}

async function read<T>(lines: AsyncIterator<string>): Promise<T> {
  const line = await lines.next()
  if (line.done) throw new Error('a side of the comparison has ended')
  return JSON.parse(line.value) as T
}

/** A broker, and its CPU time so far, in microseconds; undefined if it cannot be seen from here. */
type Broker = { name: string; url: string; used: () => Promise<number> | undefined }

async function rabbitmq(url: string): Promise<Broker> {
  // Undefined if it runs on another machine, or may not be read.
  const asked = await exec('rabbitmqctl', ['eval', 'os:getpid().'])
  const pid = /\d+/.exec(asked.stdout)?.[0]
  const used = async () => {
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  }
  return { name: 'RabbitMQ', url, used: () => (asked.code === 0 ? used() : undefined) }
}

function embedded(name: string, side: Side): Broker {
  const used = async () => (await side.tell({ do: 'usage' })).cpu
  return { name, url: side.address, used }
}

/** One client and one server on one broker. */
type Pair = { broker: Broker; make: string; client: Side; server: Side; heard: number }

const starters: Record<string, (role: string, url: string) => Promise<Side>> = {
  bare: (role, url) => Side.ofNode(role, 'bare', url),
  ours: (role, url) => Side.ofNode(role, 'ours', url),
  before: (role, url) => Side.ofCheckout(flags.before!, role, 'ours', url),
  'oslo.messaging': (role, url) =>
    Side.start(python, [resolve(import.meta.dirname, 'oslo.py'), role, url.replace(/^amqp:/, 'rabbit:')]),
}

async function pairUp(broker: Broker, make: string): Promise<Pair> {
  const start = starters[make]!
  const server = await start('server', broker.url)
  return { broker, make, server, client: await start('client', broker.url), heard: 0 }
}

type Load = { name: string; request: RequestSpec; makes?: string }
const loads: Load[] = [
  ...[1, 32, 256].map((flight) => ({
    name: `calls, ${flight} in flight`,
    request: { do: 'calls', flight, ms } as const,
  })),
  { name: 'casts, 32 in flight', request: { do: 'casts', flight: 32, ms } },
  { name: 'casts, unconfirmed', request: { do: 'casts', flight: 32, ms, confirmed: false }, makes: 'bare' },
]

/** The result of one turn: a rate in messages per second, times in microseconds. */
type Sample = { rate: number; p50: number; p99: number; cpu: number; brokerCpu: number }

async function turn(pair: Pair, request: RequestSpec): Promise<Sample> {
  const { broker, server, client } = pair
  const [serverBefore, brokerBefore] = [(await server.tell({ do: 'usage' })).cpu, await broker.used()]
  const begun = performance.now()
  const told = await client.tell(request)
  if (request.do === 'casts') {
    pair.heard += told.count
    await server.tell({ do: 'heard', count: pair.heard })
  }
  const seconds = (performance.now() - begun) / 1000
  const [serverAfter, brokerAfter] = [(await server.tell({ do: 'usage' })).cpu, await broker.used()]
  const each = (micros: number) => micros / told.count
  return {
    rate: told.count / seconds,
    p50: told.p50,
    p99: told.p99,
    cpu: each(told.cpu + serverAfter - serverBefore),
    brokerCpu: brokerBefore === undefined ? Number.NaN : each(brokerAfter! - brokerBefore),
  }
}

const median = (of: number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN
const mean = (of: number[]): number => of.reduce((sum, each) => sum + each, 0) / of.length

type Row = { broker: string; make: string; load: string; samples: Sample[] }

async function compare(pairs: Pair[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const { name: load, request, makes } of loads.filter((each) => each.name.includes(flags.load))) {
    const runs = pairs
      .filter(({ make }) => makes === undefined || makes === make)
      .map((pair) => ({ pair, row: { broker: pair.broker.name, make: pair.make, load, samples: [] as Sample[] } }))
    rows.push(...runs.map(({ row }) => row))
    for (const { pair } of runs) await turn(pair, { ...request, ms: 1_000 } as RequestSpec)
    for (let i = 0; i < Number(flags.rounds); i++) {
      for (const { pair, row } of runs) row.samples.push(await turn(pair, request))
    }
  }
  return rows
}

/** The median of the ratios of two rows' rates, round by round. */
function ratio(rows: Row[], one: Partial<Row>, other: Partial<Row>): number {
  const find = (like: Partial<Row>) =>
    rows.find((row) => row.broker === like.broker && row.make === like.make && row.load === like.load)?.samples ?? []
  const below = find(other)
  return Number(median(find(one).map((sample, i) => sample.rate / (below[i]?.rate ?? Number.NaN))).toFixed(2))
}

function shown(rows: Row[]) {
  return rows.map((row) => {
    const of = (key: keyof Sample) => row.samples.map((sample) => sample[key])
    const { broker, make, load } = row
    const to = (make: string, on = broker) => {
      const found = ratio(rows, row, { broker: on, make, load })
      return Number.isNaN(found) ? undefined : found
    }
    const brokerCpu = Math.round(mean(of('brokerCpu')))
    return {
      load,
      broker,
      make,
      'per second': Math.round(median(of('rate'))),
      'p50 ms': median(of('p50')) / 1000,
      'p99 ms': median(of('p99')) / 1000,
      'CPU µs': Math.round(mean(of('cpu'))),
      'broker CPU µs': Number.isNaN(brokerCpu) ? undefined : brokerCpu,
      'of bare': make === 'bare' ? undefined : to('bare'),
      'of oslo': make === 'ours' ? to('oslo.messaging') : undefined,
      'of RabbitMQ': broker === 'RabbitMQ' ? undefined : to(make, 'RabbitMQ'),
    }
  })
}

async function hasOslo(): Promise<boolean> {
  const { code } = await exec(python, ['-c', 'import oslo_messaging, eventlet'])
  if (code !== 0) console.error('no oslo.messaging here (Debian: python3-oslo.messaging)')
  return code === 0
}

const brokerSides = [await Side.ofNode('broker')]
const brokers = [...(flags.url === undefined ? [] : [await rabbitmq(flags.url)]), embedded('embedded', brokerSides[0]!)]
if (flags.before !== undefined) {
  brokerSides.push(await Side.ofCheckout(flags.before, 'broker'))
  brokers.push(embedded('embedded before', brokerSides[1]!))
}
const only = flags.only?.split(',')
const pairs: Pair[] = []
for (const broker of brokers) {
  const makes = ['bare', 'ours', ...(flags.before === undefined ? [] : ['before'])]
  if (broker.name === 'RabbitMQ' && (await hasOslo())) makes.push('oslo.messaging')
  for (const make of makes.filter((each) => only?.includes(each) ?? true)) {
    pairs.push(await pairUp(broker, make))
  }
}
const rows = shown(await compare(pairs))

if (flags.json) console.log(JSON.stringify(rows))
else console.table(rows)
for (const { client, server } of pairs) await Promise.all([client.stop(), server.stop()])
for (const side of brokerSides) await side.stop()
