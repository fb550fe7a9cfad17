import { fail } from '../../base/errors.ts'
import type { Work } from '../../contracts/agent.ts'
import type { ImageFiles } from '../../virt/driver.ts'
import { guestOf, type Tools, type Verb } from './verb.ts'

const files = ({ images }: Pick<Tools, 'images'>, work: Work, signal: AbortSignal): Promise<ImageFiles> => {
  if (!work.image) fail('ImageNotFound', { id: `the image of ${work.instance.name}, deleted since` })
  return images.hold(work.instance.id, work.image, signal)
}

async function image(tools: Pick<Tools, 'images'>, work: Work, signal: AbortSignal): Promise<void> {
  await files(tools, work, signal)
}

async function disk(tools: Pick<Tools, 'images' | 'driver'>, work: Work, signal: AbortSignal): Promise<void> {
  // Asked for again: it costs a look at the cache, and this may be another life of the daemon than the one that fetched.
  await tools.driver.createDisk(guestOf(work), await files(tools, work, signal), signal)
}

async function start(tools: Pick<Tools, 'images' | 'driver'>, work: Work, signal: AbortSignal): Promise<void> {
  // A daemon that was killed between undoing a failed boot and saying so has left nothing to start from.
  if ((await tools.driver.power(work.instance.id)) === 'NOSTATE') await disk(tools, work, signal)
  await tools.driver.start(guestOf(work), signal)
}

/** Fetches the image, makes the disk, starts the guest. A boot that fails or is cancelled leaves nothing on the host. */
export const boot: Verb<'boot'> = {
  steps: { image, disk, start },
  async undo({ driver, images }: Pick<Tools, 'images' | 'driver'>, { instance }) {
    await driver.destroy(instance.id)
    await images.release(instance.id)
  },
}
