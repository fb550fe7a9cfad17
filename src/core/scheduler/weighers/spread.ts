import type { Weigher } from '../weigher.ts'

/** Prefers the host with the fewest instances. */
export const spread: Weigher = { weigh: (host) => -host.instances }
