import type { Clock } from '../base/clock.ts'

/**
 * Since when this process could have heard of others without a break. Who counts as down may only not have been heard
 * before that: the bus or the database was away, or the process was frozen.
 */
export type Hearing = {
  /** Milliseconds since the epoch; now, while something is away. */
  since(): number
  /** The process has just reached the database, as it does with each heartbeat. */
  beat(): void
}

/** `from`: since when at the earliest. `busBackAt`: see `core/rpc/back-at.ts`. */
export function openHearing(
  clock: Clock,
  { heartbeatSeconds, serviceDownTime }: { heartbeatSeconds: number; serviceDownTime: number },
  busBackAt: () => number | undefined,
  from: number,
): Hearing {
  // A shorter break makes nobody count as down: what is left of the time is enough for a heartbeat.
  const breakMs = Math.max(serviceDownTime / 2, 2 * heartbeatSeconds) * 1000
  let beatAt = clock.now()
  let unbrokenSince = from
  return {
    since() {
      const now = clock.now()
      return Math.max(now - beatAt > breakMs ? now : unbrokenSince, busBackAt() ?? 0)
    },
    beat() {
      const now = clock.now()
      if (now - beatAt > breakMs) unbrokenSince = now
      beatAt = now
    },
  }
}

/** Whether it is too early to take anybody for down. */
export const hearsTooShort = (hearing: Pick<Hearing, 'since'>, { now, downMs }: { now: number; downMs: number }) =>
  hearing.since() > now - downMs
