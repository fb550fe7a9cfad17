import { expect, test } from 'vitest'
import { didYouMean, nearest } from '../../src/cli/near.ts'

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

test('nothing is suggested where nothing is near', () => {
  expect(didYouMean([])).toBeUndefined()
  expect(didYouMean(['a', 'b'])).toBe('Did you mean a or b?')
})
