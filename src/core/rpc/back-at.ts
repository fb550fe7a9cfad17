import type { Clock } from '../base/clock.ts'
import type { Bus } from './bus.ts'

/**
 * When a link to the bus last came back; undefined while it was never lost. While it is down, or only partly back: now.
 * Messages that waited leave as soon as their own channel is open, which may be before the link tells that it is up.
 */
export function busBackAt(bus: Pick<Bus, 'onLink'>, clock: Clock): () => number | undefined {
  let backAt: number | undefined
  let lost = false
  bus.onLink((up) => {
    if (up && lost) backAt = clock.now()
    lost = !up
  })
  return () => (lost ? clock.now() : backAt)
}
