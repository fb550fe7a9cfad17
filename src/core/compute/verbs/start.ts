import { type ComputeVerb, guestOf } from './tools.ts'

/** Starts a guest that was shut off from its disk. */
export const start: ComputeVerb<'start'> = {
  steps: { start: ({ driver }, { work, signal }) => driver.start(guestOf(work), signal) },
}
