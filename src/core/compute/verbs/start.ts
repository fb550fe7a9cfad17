import { keepImage } from './boot.ts'
import { type ComputeVerb, guestOf } from './tools.ts'

/** Starts a guest that was shut off from its disk. */
export const start: ComputeVerb<'start'> = {
  steps: {
    async start(tools, { work, signal }) {
      await keepImage(tools, { work, signal })
      await tools.driver.start(guestOf(work), signal)
    },
  },
}
