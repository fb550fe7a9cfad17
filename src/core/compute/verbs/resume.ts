import { guestOf, type Tools, type Verb } from './verb.ts'

/** Starts a suspended guest where it was. */
export const resume: Verb<'resume'> = {
  steps: {
    resume: ({ driver }: Pick<Tools, 'driver'>, work, signal) => driver.resume(guestOf(work), signal),
  },
}
