import { guestOf, type Tools, type Verb } from './verb.ts'

/** Starts a guest that was shut off from its disk. */
export const start: Verb<'start'> = {
  steps: {
    start: ({ driver }: Pick<Tools, 'driver'>, work, signal) => driver.start(guestOf(work), signal),
  },
}
