import { type ComputeVerb, instanceOf } from './tools.ts'

/** Saves the memory of the guest to disk and ends its process. */
export const suspend: ComputeVerb<'suspend'> = {
  steps: { suspend: ({ driver }, { work, signal }) => driver.suspend(instanceOf(work).id, signal) },
}
