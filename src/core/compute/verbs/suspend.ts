import type { Tools, Verb } from './verb.ts'

/** Saves the memory of the guest to disk and ends its process. */
export const suspend: Verb<'suspend'> = {
  steps: {
    suspend: ({ driver }: Pick<Tools, 'driver'>, { instance }, signal) => driver.suspend(instance.id, signal),
  },
}
