import { expect, test } from 'vitest'
import { didYouMean } from '../../src/cli/usage.ts'

test('nothing is suggested where nothing is near', () => {
  expect(didYouMean([])).toBeUndefined()
  expect(didYouMean(['a', 'b'])).toBe('Did you mean a or b?')
})
