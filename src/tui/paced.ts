import type { Clock } from '../core/base/clock.ts'

/** Work that is requested often and done rarely. */
export type Paced = {
  /** Requests the work: it runs at once if the last run is long enough ago, otherwise when it is. */
  want(): void
  stop(): void
}

/**
 * Runs `work` on request, never twice at a time and never sooner than `gapMs` after the last run ended. Requests during
 * a run lead to one more run. If `work` returns false it has failed, and is requested again.
 */
export function paced(clock: Clock, gapMs: number, work: () => Promise<boolean> | boolean): Paced {
  let wanted = false
  let busy = false
  let stopped = false
  let cancel: (() => void) | undefined
  let notBefore = Number.NEGATIVE_INFINITY

  const run = async (): Promise<void> => {
    wanted = false
    busy = true
    try {
      if (!(await work())) wanted = true
    } finally {
      busy = false
      notBefore = clock.now() + gapMs
      if (wanted) arrange()
    }
  }
  const arrange = (): void => {
    if (stopped || busy || cancel) return
    const wait = notBefore - clock.now()
    if (wait <= 0) return void run()
    cancel = clock.after(wait, () => {
      cancel = undefined
      void run()
    })
  }
  return {
    want() {
      wanted = true
      arrange()
    },
    stop() {
      stopped = true
      cancel?.()
    },
  }
}
