import { type ComputeVerb, instanceOf } from './tools.ts'

/** Stops the CPUs of the guest; its memory stays where it is. */
export const pause: ComputeVerb<'pause'> = {
  steps: { pause: ({ driver }, { work }) => driver.pause(instanceOf(work).id) },
}
