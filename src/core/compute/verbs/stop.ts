import { fail } from '../../base/errors.ts'
import { type ComputeVerb, instanceOf } from './tools.ts'

/** Asks the guest to shut down and, after the shutdown timeout, cuts its power. A guest that is gone is not shut off. */
export const stop: ComputeVerb<'stop'> = {
  steps: {
    async stop({ driver, shutdownMs }, { work, signal }) {
      const { id } = instanceOf(work)
      if ((await driver.power(id)) === 'NOSTATE')
        fail('DriverFailed', { action: 'stop the guest', why: 'it is not on this host' })
      await driver.stop(id, shutdownMs, signal)
    },
  },
}
