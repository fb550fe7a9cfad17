import { keepImage } from './boot.ts'
import { type ComputeVerb, type Context, guestOf, type Tools } from './tools.ts'

async function again(tools: Tools, { work, signal }: Context, kind: 'soft' | 'hard'): Promise<void> {
  await keepImage(tools, { work, signal })
  await tools.driver.reboot(guestOf(work), kind, tools.shutdownMs, signal)
}

/** Asks the guest to restart and, after the shutdown timeout, restarts it the hard way. */
export const reboot: ComputeVerb<'reboot'> = {
  steps: { reboot: (tools, context) => again(tools, context, 'soft') },
}

/** Cuts the power of the guest and starts it again. */
export const rebootHard: ComputeVerb<'reboot-hard'> = {
  steps: { reboot: (tools, context) => again(tools, context, 'hard') },
}
