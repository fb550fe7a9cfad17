import type { Weigher } from '../weigher.ts'

/** Prefers the host with the most memory left to promise, in MiB. */
export const freeRam: Weigher = { weigh: (host) => host.limit.memoryMb - host.used.memoryMb }
