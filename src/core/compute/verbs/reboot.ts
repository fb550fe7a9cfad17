import { guestOf, type Tools, type Verb } from './verb.ts'

type Reboots = Pick<Tools, 'driver' | 'graceMs'>

/** Asks the guest to restart and, after the grace, restarts it the hard way. */
export const reboot: Verb<'reboot'> = {
  steps: {
    reboot: ({ driver, graceMs }: Reboots, work, signal) => driver.reboot(guestOf(work), 'soft', graceMs, signal),
  },
}

/** Cuts the power of the guest and starts it again. */
export const rebootHard: Verb<'reboot-hard'> = {
  steps: {
    reboot: ({ driver, graceMs }: Reboots, work, signal) => driver.reboot(guestOf(work), 'hard', graceMs, signal),
  },
}
