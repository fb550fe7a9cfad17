import { describe, expect, test } from 'vitest'
import { rulesOf } from '../../../src/core/scheduler/options.ts'
import type { HostState } from '../../../src/core/scheduler/question.ts'
import { weigh } from '../../../src/core/scheduler/select.ts'
import { host, now, options, question } from './samples.ts'

const minute = 60_000
const used = (memoryMb: number) => ({ used: { vcpus: 0, memoryMb, diskGb: 0 } })

const weights = (weighers: Record<string, number>, hosts: Partial<HostState>[]) => [
  ...weigh(
    hosts.map((but) => host(but)),
    rulesOf(options({ weighers })).weighers,
    question(),
  ).totals,
]

describe('each weigher says 1 of the best host and 0 of the worst', () => {
  test.each([
    { name: 'free-ram', hosts: [used(0), used(4096), used(1024)], gives: [1, 0, 0.75] },
    { name: 'spread', hosts: [{ instances: 4 }, { instances: 0 }, { instances: 3 }], gives: [0, 1, 0.25] },
    {
      name: 'failed-recently',
      hosts: [{}, { failedAt: now }, { failedAt: now - 5 * minute }, { failedAt: now - 20 * minute }],
      gives: [1, 0, 0.5, 1],
    },
  ])('$name', ({ name, hosts, gives }) => expect(weights({ [name]: 1 }, hosts)).toEqual(gives))
})

test('an old failure weighs little, even where all others never failed', () => {
  expect(weights({ 'failed-recently': 1 }, [{}, { failedAt: now - 9 * minute }])).toEqual([1, 0.9])
})

test('a failure in the future of a skewed clock is as fresh as can be', () => {
  expect(weights({ 'failed-recently': 1 }, [{ failedAt: now + minute }])).toEqual([0])
})

test('equal opinions count nothing', () => {
  expect(weights({ 'free-ram': 3, spread: 2 }, [{}, {}])).toEqual([0, 0])
})

test('multipliers weigh the opinions against one another, and may turn them round', () => {
  const hosts = [{ ...used(0), instances: 5 }, { ...used(2048) }]
  expect(weights({ 'free-ram': 1, spread: 2 }, hosts)).toEqual([1, 2])
  expect(weights({ 'free-ram': 1, spread: -2 }, hosts)).toEqual([1, -2])
})

test('each share stands in the result', () => {
  const { totals, sharesOf } = weigh([host(), host({ ...used(2048) })], rulesOf(options()).weighers, question())
  expect([totals[0], sharesOf(0)]).toEqual([3, { 'free-ram': 1, spread: 0, 'failed-recently': 2 }])
})
