/**
 * What it costs a scheduler to choose a host and to write down why, without the database: milliseconds of CPU per
 * placement and bytes per record, at 20, 1,000 and 10,000 hosts, compared with the first implementation (each host
 * weighed into an object of its own, a full sort, and every host in the record):
 *
 *   npx tsx bench/placing.ts [--ms 500]
 *
 * Both take turns in one run, so that other load on the machine affects both.
 */
import { parseArgs } from 'node:util'
import { decisionOf } from '../src/core/scheduler/decision.ts'
import { Fleet } from '../src/core/scheduler/fleet.ts'
import { type Rules, rulesOf } from '../src/core/scheduler/options.ts'
import type { HostState, Question } from '../src/core/scheduler/question.ts'
import { survey } from '../src/core/scheduler/select.ts'
import { options } from '../test/core/scheduler/samples.ts'

const { values: flags } = parseArgs({ options: { ms: { type: 'string', default: '500' } } })
const forMs = Number(flags.ms)
const now = Date.now()

const rules = rulesOf(options({ cpuAllocationRatio: 4, reservedHostMemoryMb: 512, reservedHostDiskMb: 1024 }))
const question: Question = {
  spec: { projectId: 'p', size: { vcpus: 1, memoryMb: 2048, diskGb: 10 }, hints: {}, excluded: [], needs: '2.0' },
  now,
  sameHost: [],
  differentHost: [],
  hostOf: new Map(),
}

/** Hosts of which the given part has no memory left. */
const hosts = (count: number, full: number): HostState[] =>
  Array.from({ length: count }, (_, i) => ({
    name: `compute-${i}.example.org`,
    availabilityZone: 'nova',
    limit: { vcpus: 256, memoryMb: 262_144, diskGb: 4096 },
    used: { vcpus: i % 64, memoryMb: i < count * full ? 262_144 : (i * 7919) % 200_000, diskGb: i % 512 },
    instances: i % 64,
    failedAt: undefined,
    service: { disabled: false, disabledReason: undefined, seenAt: now },
  }))

/** The first implementation: returns the record. */
function before(all: readonly HostState[], { filters, weighers }: Rules): string {
  const refused: object[] = []
  const passed = all.filter((host) => {
    for (const { name, filter } of filters) {
      const no = filter(host, question)
      if (no === undefined) continue
      refused.push({ host: host.name, passed: false, filter: name, reason: no.reason })
      return false
    }
    return true
  })
  const columns = weighers.map(({ name, weigher, multiplier }) => {
    const raw = passed.map((host) => weigher.weigh(host, question))
    let { min, max } = weigher.scale ?? { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }
    if (!weigher.scale) for (const value of raw) [min, max] = [Math.min(min, value), Math.max(max, value)]
    return { name, shares: raw.map((value) => (max > min ? (value - min) / (max - min) : 0) * multiplier) }
  })
  const rounded = (n: number) => Math.round(n * 10_000) / 10_000
  const lots = passed.map((host, row) => {
    const weights: Record<string, number> = {}
    let weight = 0
    for (const { name, shares } of columns) {
      weights[name] = rounded(shares[row]!)
      weight += shares[row]!
    }
    return { host: host.name, passed: true, weight: rounded(weight), weights, lot: Math.random() }
  })
  lots.sort((a, b) => b.weight - a.weight || a.lot - b.lot)
  return JSON.stringify({
    chosen: lots[0]?.host,
    hosts: [...lots.map(({ lot: _, ...verdict }) => verdict), ...refused],
  })
}

/** The current implementation. */
async function after(fleet: Fleet): Promise<string> {
  const selection = survey(question, await fleet.look(), rules, Math.random)
  return JSON.stringify(decisionOf(selection, rules, selection.candidates[0]?.host.name))
}

/** Milliseconds of CPU per round, over as many rounds as fit, and the result of one. */
async function cost(work: () => string | Promise<string>): Promise<{ ms: number; bytes: number }> {
  let bytes = 0
  let rounds = 0
  const began = process.cpuUsage()
  const until = performance.now() + forMs / 5
  do {
    bytes = (await work()).length
    rounds++
  } while (performance.now() < until)
  const { user, system } = process.cpuUsage(began)
  return { ms: (user + system) / 1000 / rounds, bytes }
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[numbers.length >> 1]!

const rows = []
for (const count of [20, 1_000, 10_000])
  for (const full of [0, 0.5, 1]) {
    const all = hosts(count, full)
    const fleet = new Fleet(async () => all)
    const [old, now]: Array<Array<{ ms: number; bytes: number }>> = [[], []]
    for (let turn = 0; turn < 6; turn++) {
      const [one, other] = [await cost(() => before(all, rules)), await cost(() => after(fleet))]
      // The first round is for the compiler.
      if (turn > 0) {
        old!.push(one)
        now!.push(other)
      }
    }
    const [was, is] = [median(old!.map(({ ms }) => ms)), median(now!.map(({ ms }) => ms))]
    rows.push({
      hosts: count,
      full: `${full * 100} %`,
      'ms before': was.toFixed(3),
      'ms now': is.toFixed(3),
      times: (was / is).toFixed(1),
      'bytes before': old![0]!.bytes,
      'bytes now': now![0]!.bytes,
    })
  }
console.table(rows)
