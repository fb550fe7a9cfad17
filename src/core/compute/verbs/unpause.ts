import { type ComputeVerb, instanceOf } from './tools.ts'

/** Lets the CPUs of a paused guest run on. */
export const unpause: ComputeVerb<'unpause'> = {
  steps: { unpause: ({ driver }, { work }) => driver.unpause(instanceOf(work).id) },
}
