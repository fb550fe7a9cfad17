import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RequestSpec } from '../../../src/core/contracts/scheduler.ts'
import { Decision } from '../../../src/core/contracts/shapes.ts'
import { decisionOf, inFull } from '../../../src/core/scheduler/decision.ts'
import { rulesOf } from '../../../src/core/scheduler/options.ts'
import type { HostState } from '../../../src/core/scheduler/question.ts'
import { select } from '../../../src/core/scheduler/select.ts'
import { host, now, options, question } from './samples.ts'

const rules = rulesOf(options())
const decide = (hosts: HostState[], spec: Partial<RequestSpec> = {}) => {
  const selection = select(question(spec), hosts, rules, () => 0)
  return decisionOf(selection, rules, selection.candidates[0]?.host.name)
}
const used = (memoryMb: number) => ({ vcpus: 0, memoryMb, diskGb: 0 })
const service = { disabled: false, disabledReason: undefined, seenAt: now }

describe('the summary', () => {
  test('with no hosts at all says what to do', () => {
    expect(decide([]).summary).toBe('no compute host has ever reported: start one with nova daemon compute')
  })

  test('counts every host once, the largest group first, and names the nearest miss', () => {
    const hosts = [
      ...Array.from({ length: 7 }, (_, i) => host({ name: `d${i}`, service: { ...service, disabled: true } })),
      ...[3072, 3584, 4096, 4096].map((mb, i) => host({ name: `m${i}`, used: used(mb), availabilityZone: 'east' })),
      host({ name: 'z' }),
    ]
    expect(decide(hosts, { availabilityZone: 'east' }).summary).toBe(
      '12 hosts: 7 disabled, 4 with too little memory (most: 1024 of 2048 MiB free), 1 in another zone than east',
    )
  })

  test('of one host', () => {
    expect(decide([host({ used: used(4096) })]).summary).toBe(
      '1 host: 1 with too little memory (most: 0 of 2048 MiB free)',
    )
  })

  test('names a host that is asked for and does not exist', () => {
    expect(decide([host(), host({ name: 'h2' })], { forcedHost: 'h9' }).summary).toBe(
      '2 hosts: 2 other than h9, the host asked for; there is no host h9',
    )
  })

  test('of a forced host that cannot', () => {
    expect(decide([host({ used: used(4096) }), host({ name: 'h2' })], { forcedHost: 'h1' }).summary).toBe(
      '2 hosts: 1 with too little memory (most: 0 of 2048 MiB free), 1 other than h1, the host asked for',
    )
  })

  test('says why the chosen one won', () => {
    expect(decide([host()]).summary).toBe('h1: the only host')
    expect(decide([host(), host({ name: 'h2', used: used(4096) })]).summary).toBe(
      'h1: the only one of 2 hosts that can',
    )
    expect(decide([host(), host({ name: 'h2', instances: 1 })]).summary).toBe(
      'h1: the heaviest (weight 3) of 2 that can, of 2 hosts',
    )
  })
})

test('a decision holds every host: the chosen first, the refused with filter and reason', () => {
  const full = host({ name: 'h2', used: used(3584) })
  expect(decide([full, host({ instances: 3 }), host({ name: 'h3' })])).toEqual({
    at: now,
    chosen: 'h3',
    summary: 'h3: the heaviest (weight 3) of 2 that can, of 3 hosts',
    filters: options().filters,
    weighers: ['free-ram', 'spread', 'failed-recently'],
    hosts: [
      { host: 'h3', passed: true, weight: 3, weights: { 'free-ram': 0, spread: 1, 'failed-recently': 2 } },
      { host: 'h1', passed: true, weight: 2, weights: { 'free-ram': 0, spread: 0, 'failed-recently': 2 } },
      { host: 'h2', passed: false, filter: 'ram', reason: 'wants 2048 MiB of memory, 512 MiB left of 4096' },
    ],
    counts: { hosts: 3, passed: 2, refused: [{ filter: 'ram', group: 'with too little memory', hosts: 1 }] },
  })
})

test('the first filter that says no is the one that is named', () => {
  const bad = host({ availabilityZone: 'west', used: used(4096), service: { ...service, disabled: true } })
  expect(decide([bad], { availabilityZone: 'east' }).hosts).toEqual([
    { host: 'h1', passed: false, filter: 'compute-up', reason: 'disabled' },
  ])
})

test('equals are drawn by lot', () => {
  const hosts = ['a', 'b', 'c'].map((name) => host({ name }))
  const lots = [0.7, 0.2, 0.5]
  const order = select(question(), hosts, rules, () => lots.shift() ?? 0).candidates.map((c) => c.host.name)
  expect(order).toEqual(['b', 'c', 'a'])
})

test('a candidate that was tried and did not do is named with its reason', () => {
  const selection = select(question(), [host(), host({ name: 'h2', instances: 1 })], rules, () => 0)
  const late = { host: 'h1', filter: 'on-bus', reason: 'no consumer', group: 'not on the bus' }
  expect(decisionOf(selection, rules, 'h2', [late]).hosts[0]).toMatchObject({ passed: false, filter: 'on-bus' })
  expect(decisionOf(selection, rules, undefined, [late, { ...late, host: 'h2' }]).summary).toBe(
    '2 hosts: 2 not on the bus',
  )
  expect(() => decisionOf(selection, rules, undefined, [late])).toThrow('neither chosen nor tried')
})

const names = ['h1', 'h2', 'h3', 'h4', 'h5']
const anySize = fc.record({
  vcpus: fc.integer({ min: 0, max: 8 }),
  memoryMb: fc.integer({ min: 0, max: 4096 }),
  diskGb: fc.integer({ min: 0, max: 40 }),
})
const anyHost = (name: string): fc.Arbitrary<HostState> =>
  fc.record({
    name: fc.constant(name),
    availabilityZone: fc.constantFrom('east', 'west'),
    limit: anySize,
    used: anySize,
    instances: fc.nat(9),
    failedAt: fc.option(
      fc.integer({ min: 0, max: 1_200_000 }).map((ago) => now - ago),
      { nil: undefined },
    ),
    service: fc.option(
      fc.record({
        disabled: fc.boolean(),
        disabledReason: fc.option(fc.string(), { nil: undefined }),
        seenAt: fc.integer({ min: 0, max: 60_000 }).map((ago) => now - ago),
      }),
      { nil: undefined },
    ),
  })
const anyWish: fc.Arbitrary<Partial<RequestSpec>> = fc.record(
  {
    size: fc.record({
      vcpus: fc.integer({ min: 1, max: 4 }),
      memoryMb: fc.integer({ min: 1, max: 2048 }),
      diskGb: fc.nat(20),
    }),
    availabilityZone: fc.constantFrom('east', 'west'),
    forcedHost: fc.constantFrom(...names, 'h9'),
    excluded: fc.subarray(names, { maxLength: 2 }),
    hints: fc.constantFrom({}, { same_host: 'a' }, { different_host: 'a,b' }),
  },
  { requiredKeys: ['size'] },
)

test('whatever is asked: the chosen host passes every filter, and every other has its verdict', () => {
  const hosts = fc.subarray(names).chain((some) => fc.tuple(...some.map(anyHost)))
  const hostOf = { a: 'h1', b: 'h2' }
  fc.assert(
    fc.property(hosts, anyWish, (hosts, spec) => {
      const asked = question(spec, hostOf)
      const selection = select(asked, hosts, rules, () => 0.5)
      const decision = Decision.parse(decisionOf(selection, rules, selection.candidates[0]?.host.name))
      expect(decision.hosts.map((h) => h.host).sort()).toEqual(hosts.map((h) => h.name).sort())
      for (const verdict of decision.hosts) {
        const it = hosts.find((h) => h.name === verdict.host) as HostState
        const no = rules.filters.find(({ filter }) => filter(it, asked))
        expect(verdict.passed).toBe(no === undefined)
        expect(verdict.filter).toBe(no?.name)
        if (no) expect(verdict.reason).toMatch(/\S/)
      }
      const heaviest = Math.max(...decision.hosts.map((h) => (h.passed ? (h.weight ?? 0) : -1)))
      const chosen = decision.hosts.find((h) => h.host === decision.chosen)
      if (decision.hosts.some((h) => h.passed)) expect(chosen).toMatchObject({ passed: true, weight: heaviest })
      else expect(chosen).toBeUndefined()
      expect(decision.summary).toMatch(/\S/)
    }),
    { numRuns: 500 },
  )
})

test('the best are the best, however many there are and however few are kept', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ used: fc.integer({ min: 0, max: 16 }), instances: fc.nat(3), lot: fc.nat(2) }), {
        maxLength: 60,
      }),
      fc.nat(70),
      (some, most) => {
        const hosts = some.map(({ used: n, instances }, i) => host({ name: `h${i}`, used: used(n * 128), instances }))
        const ordered = (keep: number) => {
          const lots = some.map(({ lot }) => lot)
          const kept = { candidates: keep, refused: 0 }
          return select(question(), hosts, rules, () => lots.shift() ?? 0, kept).candidates.map(({ weight }) => weight)
        }
        const all = ordered(hosts.length)
        expect(all).toEqual([...all].sort((a, b) => b - a))
        expect(ordered(most)).toEqual(all.slice(0, most))
      },
    ),
    { numRuns: 300 },
  )
})

describe('among a thousand hosts a decision', () => {
  const many = (count: number, but: (i: number) => Partial<HostState>) =>
    Array.from({ length: count }, (_, i) => host({ name: `h${i}`, ...but(i) }))

  test('shows the best twenty and some of the others, and counts all', () => {
    const hosts = many(1_000, (i) => {
      if (i < 600) return { instances: i % 7 }
      if (i < 980) return { used: used(4096 - (i % 2048)) }
      return i < 999 ? { service: { ...service, disabled: true } } : { service: undefined }
    })
    const { hosts: shown, counts, summary } = decide(hosts)
    expect(shown.map(({ passed }) => passed)).toEqual([...Array(20).fill(true), ...Array(20).fill(false)])
    expect(new Set(shown.slice(20).map(({ reason }) => reason?.split(' ')[0]))).toEqual(
      new Set(['wants', 'disabled', 'its']),
    )
    expect(counts).toEqual({
      hosts: 1_000,
      passed: 600,
      refused: [
        { filter: 'ram', group: 'with too little memory', hosts: 380 },
        { filter: 'compute-up', group: 'disabled', hosts: 19 },
        { filter: 'compute-up', group: 'down', hosts: 1 },
      ],
    })
    expect(summary).toMatch(/^h\d+: the heaviest \(weight [\d.]+\) of 600 that can, of 1000 hosts$/)
  })

  test('weighs a few kilobytes, and in full it is bounded too', () => {
    const long = 'a-name-of-a-host.example.org'
    const hosts = many(10_000, (i) => ({ name: `${long}${i}`, used: used(i % 2 ? 4096 : 0) }))
    expect(JSON.stringify(decide(hosts)).length).toBeLessThan(8_000)
    const selection = select(question(), hosts, rules, () => 0, inFull)
    const full = decisionOf(selection, rules, selection.candidates[0]?.host.name, [], inFull)
    expect(full.hosts).toHaveLength(1_000)
    expect(full.counts).toMatchObject({ hosts: 10_000, passed: 5_000 })
  })

  test('shows the one that was chosen, even if all of the best were tried before it', () => {
    const selection = select(
      question(),
      many(100, (i) => ({ instances: i })),
      rules,
      () => 0,
    )
    const silent = selection.candidates.slice(0, 30).map(({ host: { name } }) => ({
      host: name,
      filter: 'bus',
      reason: 'unreachable',
      group: 'unreachable on the bus',
    }))
    const { hosts, counts } = decisionOf(selection, rules, 'h30', silent)
    expect(hosts.slice(0, 20).every(({ passed, filter }) => !passed && filter === 'bus')).toBe(true)
    expect(hosts[20]).toMatchObject({ host: 'h30', passed: true })
    expect(counts).toEqual({
      hosts: 100,
      passed: 70,
      refused: [{ filter: 'bus', group: 'unreachable on the bus', hosts: 30 }],
    })
  })
})
