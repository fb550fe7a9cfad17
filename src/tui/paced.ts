import type { Clock } from '../core/base/clock.ts'

/** Work that is wanted often and done seldom. */
export type Paced = {
  /** Has it done: at once where the last time is long enough ago, else when it is. */
  want(): void
  stop(): void
}

/**
 * Does `work` when it is wanted, never twice at a time and never sooner than `gapMs` after it last ended. What is wanted
 * meanwhile is done once, afterwards. Where `work` answers false it has not worked, and is wanted again.
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
