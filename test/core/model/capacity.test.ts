import { describe, expect, test } from 'vitest'
import { limits } from '../../../src/core/model/capacity.ts'

const plain = { cpuRatio: 1, ramRatio: 1, diskRatio: 1, reservedMemoryMb: 0, reservedDiskGb: 0 }
const total = { vcpus: 8, memoryMb: 4096, diskGb: 100 }

describe('what a host may promise', () => {
  test.each([
    ['all it has, where nothing is said', plain, total],
    ['more CPUs than it has', { ...plain, cpuRatio: 4 }, { ...total, vcpus: 32 }],
    ['memory less what is reserved', { ...plain, ramRatio: 1.5, reservedMemoryMb: 512 }, { ...total, memoryMb: 5632 }],
    ['disk less what is reserved', { ...plain, diskRatio: 1.15, reservedDiskGb: 10 }, { ...total, diskGb: 105 }],
    [
      'never below nothing',
      { ...plain, reservedMemoryMb: 9999, reservedDiskGb: 999 },
      { vcpus: 8, memoryMb: 0, diskGb: 0 },
    ],
    ['whole units only', { ...plain, cpuRatio: 0.3 }, { ...total, vcpus: 2 }],
  ])('%s', (_, overcommit, promised) => expect(limits(total, overcommit)).toEqual(promised))
})
