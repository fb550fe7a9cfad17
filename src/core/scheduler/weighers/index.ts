import type { Weigher } from '../weigher.ts'
import { failedRecently } from './failed-recently.ts'
import { freeRam } from './free-ram.ts'
import { spread } from './spread.ts'

/** The weighers that the option `scheduler.weighers` may name. */
export const weighers = {
  'free-ram': freeRam,
  spread,
  'failed-recently': failedRecently,
} as const satisfies Record<string, Weigher>
