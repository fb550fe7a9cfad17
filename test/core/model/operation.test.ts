import { expect, test } from 'vitest'
import { deadlineMs } from '../../../src/core/model/operation.ts'

test('whoever moves a disk has time for its size, also if that is only known to the image', () => {
  expect(deadlineMs('migrate', { diskGb: 1 })).toBe(660_000)
  expect(deadlineMs('migrate', { diskGb: 20 })).toBe(1_800_000)
  expect(deadlineMs('migrate', { diskGb: 0 })).toBe(6_600_000)
  expect(deadlineMs('pause', { diskGb: 0 })).toBe(deadlineMs('pause', { diskGb: 20 }))
})
