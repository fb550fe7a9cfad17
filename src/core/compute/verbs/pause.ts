import type { Tools, Verb } from './verb.ts'

/** Stops the CPUs of the guest; its memory stays where it is. */
export const pause: Verb<'pause'> = {
  steps: {
    pause: ({ driver }: Pick<Tools, 'driver'>, { instance }) => driver.pause(instance.id),
  },
}
