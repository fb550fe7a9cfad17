import { type ComputeVerb, guestOf } from './tools.ts'

/** Starts a suspended guest where it was. */
export const resume: ComputeVerb<'resume'> = {
  steps: { resume: ({ driver }, { work, signal }) => driver.resume(guestOf(work), signal) },
}
