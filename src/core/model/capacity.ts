import type { Size } from './instance.ts'

/** How much more than it has a host may promise, and what it keeps for itself. */
export type Overcommit = {
  readonly cpuAllocationRatio: number
  readonly ramAllocationRatio: number
  readonly diskAllocationRatio: number
  readonly reservedHostMemoryMb: number
  readonly reservedHostDiskMb: number
}

/** What a host of this size may promise in all: total × ratio − reserved, whole units, never below nothing. */
export const limits = (total: Size, overcommit: Overcommit): Size => ({
  vcpus: whole(total.vcpus * overcommit.cpuAllocationRatio),
  memoryMb: whole(total.memoryMb * overcommit.ramAllocationRatio - overcommit.reservedHostMemoryMb),
  diskGb: whole(total.diskGb * overcommit.diskAllocationRatio - overcommit.reservedHostDiskMb / 1024),
})

// 100 × 1.15 is 114.99999999999999 in binary; nobody who wrote 1.15 meant 114.
const whole = (amount: number): number => Math.max(0, Math.floor(amount + 1e-6))

/** The lesser of two sizes, number by number. */
export const leastOf = (a: Size, b: Size): Size => ({
  vcpus: Math.min(a.vcpus, b.vcpus),
  memoryMb: Math.min(a.memoryMb, b.memoryMb),
  diskGb: Math.min(a.diskGb, b.diskGb),
})

/** Whether two sizes are the same. */
export const isSame = (a: Size, b: Size): boolean =>
  a.vcpus === b.vcpus && a.memoryMb === b.memoryMb && a.diskGb === b.diskGb
