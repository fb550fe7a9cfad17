import type { Tools, Verb } from './verb.ts'

/** Asks the guest to shut down and, after the grace, cuts its power. */
export const stop: Verb<'stop'> = {
  steps: {
    stop: ({ driver, graceMs }: Pick<Tools, 'driver' | 'graceMs'>, { instance }, signal) =>
      driver.stop(instance.id, graceMs, signal),
  },
}
