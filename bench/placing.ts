/**
 * What it costs a scheduler to choose a host and to write down why, without the database: milliseconds of CPU per
 * placement and bytes per record, at 20, 1,000 and 10,000 hosts, compared with the first implementation (each host
 * weighed into an object of its own, a full sort, and every host in the record):
 *
 *   npx tsx bench/placing.ts [--ms 500]
 *
 * Both take turns in one run, so that other load on the machine affects both. Then how long it takes to read all hosts from
 * each database here, once for all placements that wait: beside the bare rows of both tables, read one after the other.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../src/core/base/clock.ts'
import { systemIds } from '../src/core/base/ids.ts'
import { silentLog } from '../src/core/base/log.ts'
import { syncDatabase } from '../src/core/db/migrate.ts'
import { type Db, openDatabase } from '../src/core/db/open.ts'
import { decisionOf } from '../src/core/scheduler/decision.ts'
import { Fleet } from '../src/core/scheduler/fleet.ts'
import { type Rules, rulesOf } from '../src/core/scheduler/options.ts'
import type { HostState, Question } from '../src/core/scheduler/question.ts'
import { survey } from '../src/core/scheduler/select.ts'
import { hostsForPlacement } from '../src/core/store/placement.ts'
import { options } from '../test/core/scheduler/samples.ts'
import { databases } from '../test/kit/databases.ts'

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

/** As many hosts as given, each with its service. */
async function addHosts(db: Db, count: number): Promise<void> {
  const at = Date.now()
  for (let from = 0; from < count; from += 500) {
    const names = Array.from({ length: Math.min(500, count - from) }, (_, i) => `compute-${from + i}.example.org`)
    const words = { driver: 'fake', hypervisor: 'fake', hypervisor_version: '1', accelerator: 'fake' }
    const total = { total_vcpus: 256, total_memory_mb: 262_144, total_disk_gb: 4096 }
    const used = { used_vcpus: 1, used_memory_mb: 2048, used_disk_gb: 10, instances: 1, failed_at: null }
    const life = { incarnation: systemIds.uuid(), availability_zone: 'nova' }
    await db
      .insertInto('hosts')
      .values(names.map((name) => ({ name, host_id: name, ...life, ...words, ...total, ...used, created_at: at })))
      .execute()
    const seen = { version: '1', seen_at: at, started_at: at, disabled: 0, disabled_reason: null, silent_ms: 5 }
    const said = { incarnation: life.incarnation, reported_by: life.incarnation, contracts: '{"compute":"2.1"}' }
    await db
      .insertInto('services')
      .values(names.map((host) => ({ id: `compute@${host}`, binary: 'compute', host, ...seen, ...said })))
      .execute()
  }
}

const took = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now()
  await work()
  return performance.now() - from
}

const reads = []
for (const database of await databases())
  for (const count of [20, 1_000, 10_000]) {
    const opened = await database.open()
    const db = await openDatabase(opened.url, { log: silentLog, clock: systemClock })
    await syncDatabase(db)
    await addHosts(db, count)
    const bare = async () => {
      await db.selectFrom('hosts').selectAll().execute()
      await db.selectFrom('services').selectAll().execute()
    }
    const [plain, ours]: [number[], number[]] = [[], []]
    for (let turn = 0; turn < 10; turn++) {
      plain.push(await took(bare))
      ours.push(await took(() => hostsForPlacement(db)))
    }
    const [reference, is] = [median(plain), median(ours)]
    reads.push({
      database: database.name,
      hosts: count,
      ms: is.toFixed(2),
      'of bare rows': (is / reference).toFixed(2),
    })
    await db.destroy()
    await opened.drop()
  }
console.table(reads)
