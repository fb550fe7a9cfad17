import type { Clock } from '../base/clock.ts'

/** How far a transfer is. `totalBytes` is an estimate made at its start, so `doneBytes` may end a little beside it. */
export type Progress = { doneBytes: number; totalBytes: number }

/** Tells how far a transfer is; what comes too soon after what was told before is left out, but not the `last`. */
export type Report = (progress: Progress, which?: 'last') => void

const everyMs = 250

/** Passes progress on four times a second at most, and once at the end. */
export function throttled(clock: Pick<Clock, 'now'>, report: (progress: Progress) => void): Report {
  let reportedAt = Number.NEGATIVE_INFINITY
  return (progress, which) => {
    if (which !== 'last' && clock.now() - reportedAt < everyMs) return
    reportedAt = clock.now()
    report(progress)
  }
}
