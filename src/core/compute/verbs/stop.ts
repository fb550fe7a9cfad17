import { type ComputeVerb, instanceOf } from './tools.ts'

/** Asks the guest to shut down and, after the shutdown timeout, cuts its power. */
export const stop: ComputeVerb<'stop'> = {
  steps: {
    stop: ({ driver, shutdownMs }, { work, signal }) => driver.stop(instanceOf(work).id, shutdownMs, signal),
  },
}
