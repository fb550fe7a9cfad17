import { describe, expect, test } from 'vitest'
import { limits } from '../../../src/core/model/capacity.ts'

const plain = {
  cpuAllocationRatio: 1,
  ramAllocationRatio: 1,
  diskAllocationRatio: 1,
  reservedHostMemoryMb: 0,
  reservedHostDiskMb: 0,
}
const total = { vcpus: 8, memoryMb: 4096, diskGb: 100 }

describe('what a host may promise', () => {
  test.each([
    ['all it has, where nothing is said', plain, total],
    ['more CPUs than it has', { ...plain, cpuAllocationRatio: 4 }, { ...total, vcpus: 32 }],
    [
      'memory less what is reserved',
      { ...plain, ramAllocationRatio: 1.5, reservedHostMemoryMb: 512 },
      { ...total, memoryMb: 5632 },
    ],
    [
      'disk less what is reserved',
      { ...plain, diskAllocationRatio: 1.15, reservedHostDiskMb: 10_240 },
      { ...total, diskGb: 105 },
    ],
    [
      'never below nothing',
      { ...plain, reservedHostMemoryMb: 9999, reservedHostDiskMb: 9_999_999 },
      { vcpus: 8, memoryMb: 0, diskGb: 0 },
    ],
    ['whole units only', { ...plain, cpuAllocationRatio: 0.3 }, { ...total, vcpus: 2 }],
  ])('%s', (_, overcommit, promised) => expect(limits(total, overcommit)).toEqual(promised))
})
