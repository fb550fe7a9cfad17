import { type ComputeVerb, guestOf } from './tools.ts'

/** Asks the guest to restart and, after the shutdown timeout, restarts it the hard way. */
export const reboot: ComputeVerb<'reboot'> = {
  steps: {
    reboot: ({ driver, shutdownMs }, { work, signal }) => driver.reboot(guestOf(work), 'soft', shutdownMs, signal),
  },
}

/** Cuts the power of the guest and starts it again. */
export const rebootHard: ComputeVerb<'reboot-hard'> = {
  steps: {
    reboot: ({ driver, shutdownMs }, { work, signal }) => driver.reboot(guestOf(work), 'hard', shutdownMs, signal),
  },
}
