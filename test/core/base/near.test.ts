import fc from 'fast-check'
import { expect, test } from 'vitest'
import { distance, nearest } from '../../../src/core/base/near.ts'

test('the distance counts single-letter changes', () => {
  expect(distance('web', 'web')).toBe(0)
  expect(distance('', 'web')).toBe(3)
  expect(distance('wbe', 'web')).toBe(1)
  expect(distance('kitten', 'sitting')).toBe(3)
})

test('the distance is the same both ways, and nothing only for the same word', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      expect(distance(a, b)).toBe(distance(b, a))
      expect(distance(a, b) === 0).toBe(a === b)
      expect(distance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
    }),
  )
})

test('names that may have been meant come nearest first, three at most', () => {
  const names = ['web', 'wob', 'web-1', 'database', 'WEB2', 'mail']
  expect(nearest('wbe', names)).toEqual(['web'])
  expect(nearest('web2', names)).toEqual(['WEB2', 'web'])
  expect(nearest('data', names)).toEqual(['database'])
  expect(nearest('base', names)).toEqual(['database'])
  expect(nearest('x', ['y', 'zz'])).toEqual(['y'])
  expect(nearest('nothing like it', names)).toEqual([])
  // A long one is found by its beginning, and not measured.
  const long = 'w'.repeat(100)
  expect(nearest(long, [`${long}-1`, `v${long.slice(1)}`])).toEqual([`${long}-1`])
  expect(nearest('aaaa', ['aaab', 'aaac', 'aaad', 'aaae'])).toHaveLength(3)
})

const words = ['list', 'show', 'pause', 'unpause', 'flavor list', 'console-log']

test.each([
  ['lst', ['list']],
  ['lsit', ['list']],
  ['PAUSE', ['pause']],
  ['unpuase', ['unpause']],
  ['cons', ['console-log']],
  ['xyz', []],
  ['', []],
])('"%s" may mean %j', (word, meant) => {
  expect(nearest(word, words, 1)).toEqual(meant)
})
