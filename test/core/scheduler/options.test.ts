import { expect, test } from 'vitest'
import { isFailure } from '../../../src/core/base/errors.ts'
import { rulesOf } from '../../../src/core/scheduler/options.ts'
import { options } from './samples.ts'

const refusal = (but: Parameters<typeof options>[0]): string => {
  try {
    rulesOf(options(but))
  } catch (e) {
    if (isFailure(e, 'ConfigInvalid')) return e.message
    throw e
  }
  return 'accepted'
}

test('an unknown filter is refused with the known ones', () => {
  expect(refusal({ filters: ['ram', 'rom'] })).toBe(
    'Invalid configuration: scheduler.filters = rom (configuration): must be one of availability-zone, compute-up, knows-kind, ' +
      'ram, cores, disk, same-host, different-host, forced-host, excluded-host.',
  )
})

test('an unknown weigher is refused with the known ones', () => {
  expect(refusal({ weighers: { mass: 1 } })).toBe(
    'Invalid configuration: scheduler.weighers = mass (configuration): must be one of free-ram, spread, failed-recently.',
  )
})

test('what every object has is no filter', () => {
  expect(refusal({ filters: ['constructor'] })).toContain('scheduler.filters = constructor')
})

test('capacity and the kinds that a host knows are asked for even if the option leaves them out', () => {
  expect(rulesOf(options({ filters: ['disk', 'compute-up'] })).filters.map(({ name }) => name)).toEqual([
    'disk',
    'compute-up',
    'knows-kind',
    'ram',
    'cores',
  ])
})
