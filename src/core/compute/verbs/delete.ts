import { type ComputeVerb, instanceOf } from './tools.ts'

/** Ends the guest and removes all that it had on this host. Works from every state, and twice. */
export const deletion: ComputeVerb<'delete'> = {
  steps: {
    async destroy({ driver, images }, { work }) {
      const { id } = instanceOf(work)
      await driver.destroy(id)
      await images.release(id)
    },
  },
}
