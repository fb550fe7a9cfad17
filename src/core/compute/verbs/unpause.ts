import type { Tools, Verb } from './verb.ts'

/** Lets the CPUs of a paused guest run on. */
export const unpause: Verb<'unpause'> = {
  steps: {
    unpause: ({ driver }: Pick<Tools, 'driver'>, { instance }) => driver.unpause(instance.id),
  },
}
