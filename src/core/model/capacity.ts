import type { Size } from './instance.ts'

/** How much more than it has a host may promise, and what it keeps for itself. */
export type Overcommit = {
  readonly cpuRatio: number
  readonly ramRatio: number
  readonly diskRatio: number
  readonly reservedMemoryMb: number
  readonly reservedDiskGb: number
}

/** What a host of this size may promise in all: total × ratio − reserved, whole units, never below nothing. */
export const limits = (total: Size, overcommit: Overcommit): Size => ({
  vcpus: whole(total.vcpus * overcommit.cpuRatio),
  memoryMb: whole(total.memoryMb * overcommit.ramRatio - overcommit.reservedMemoryMb),
  diskGb: whole(total.diskGb * overcommit.diskRatio - overcommit.reservedDiskGb),
})

// 100 × 1.15 is 114.99999999999999 in binary; nobody who wrote 1.15 meant 114.
const whole = (amount: number): number => Math.max(0, Math.floor(amount + 1e-6))
