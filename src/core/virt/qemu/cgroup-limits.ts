import { type Accelerator, translationCacheMib } from './arguments.ts'
import type { Controller } from './cgroup-tree.ts'
import type { Hardware } from './hardware.ts'

/** What a cgroup may use: bytes of memory, threads, and its share of busy processors, in processors. */
export type Limits = { memoryBytes: number; pids: number; cpus: number }

const mib = 1 << 20

/** QEMU's own: its program and devices, the tables of its disk that it keeps (32 MiB at most), what waits to be written. */
const ownMib = 256
/** Tables that QEMU keeps of each further disk, in MiB at most. */
const diskMib = 32
/** Page tables and the like grow with the guest's memory. */
const ownShare = 0.05

/** QEMU's threads that read and write disks (64 at most), its main ones, those of a save, and as many again. */
const ownThreads = 128
const threadsOfProcessor = 4

/** What a guest's machine is allowed: what its guest has, and what QEMU needs for itself. */
export function guestLimits(
  { vcpus, memoryMb, disks }: Pick<Hardware, 'vcpus' | 'memoryMb' | 'disks'>,
  accelerator: Accelerator,
): Limits {
  const cache = accelerator === 'tcg' ? translationCacheMib : 0
  const own = ownMib + diskMib * disks.length + cache + Math.ceil(memoryMb * ownShare)
  return { memoryBytes: (memoryMb + own) * mib, pids: ownThreads + threadsOfProcessor * vcpus, cpus: vcpus }
}

/** What looks at images may use, all at once; each look has limits of its own. Guests come first. */
export const imageLimits: Limits = { memoryBytes: 3072 * mib, pids: 64, cpus: 0.5 }

/** A file of a cgroup and what is written to it. `optional`: not every kernel has it. */
export type Setting = { file: string; value: string; optional?: true }

/** Of swap as much again at most: with none at all, a host that is short of memory could not swap guests out. */
const settings: Readonly<Record<1 | 2, Readonly<Record<Controller, (limits: Limits) => Setting[]>>>> = {
  1: {
    memory: ({ memoryBytes }) => [
      { file: 'memory.limit_in_bytes', value: String(memoryBytes) },
      { file: 'memory.memsw.limit_in_bytes', value: String(2 * memoryBytes), optional: true },
    ],
    pids: ({ pids }) => [{ file: 'pids.max', value: String(pids) }],
    cpu: ({ cpus }) => [{ file: 'cpu.shares', value: String(Math.min(1024 * cpus, 1 << 18)) }],
  },
  2: {
    memory: ({ memoryBytes }) => [
      { file: 'memory.max', value: String(memoryBytes) },
      { file: 'memory.swap.max', value: String(memoryBytes), optional: true },
    ],
    pids: ({ pids }) => [{ file: 'pids.max', value: String(pids) }],
    cpu: ({ cpus }) => [{ file: 'cpu.weight', value: String(Math.min(100 * cpus, 10_000)) }],
  },
}

/** What is to be written to a cgroup with these controllers. */
export const settingsOf = (version: 1 | 2, of: readonly Controller[], limits: Limits): Setting[] =>
  of.flatMap((controller) => settings[version][controller](limits))
