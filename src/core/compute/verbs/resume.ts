import { keepImage } from './boot.ts'
import { type ComputeVerb, guestOf } from './tools.ts'

/** Starts a suspended guest where it was. */
export const resume: ComputeVerb<'resume'> = {
  steps: {
    async resume(tools, { work, signal }) {
      await keepImage(tools, { work, signal })
      await tools.driver.resume(guestOf(work), signal)
    },
  },
}
