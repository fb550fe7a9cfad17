import type { Work } from '../../contracts/agent.ts'
import type { Tools, Verb } from './verb.ts'

async function destroy({ driver, images }: Pick<Tools, 'driver' | 'images'>, { instance }: Work): Promise<void> {
  await driver.destroy(instance.id)
  await images.release(instance.id)
}

/** Ends the guest and removes all that it had on this host. Works from every state, and twice. */
export const deletion: Verb<'delete'> = { steps: { destroy } }
