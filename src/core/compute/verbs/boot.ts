import { fail } from '../../base/errors.ts'
import type { Work } from '../../contracts/agent.ts'
import type { ImageFiles } from '../../virt/driver.ts'
import { type ComputeVerb, type Context, guestOf, instanceOf, type Tools } from './tools.ts'

type Builds = Pick<Tools, 'images' | 'driver'>
type At = Pick<Context, 'work' | 'signal'>

/** The image's files on this host, fetched if they are not there; kept until they are released. */
export function imageFiles({ images }: Pick<Tools, 'images'>, work: Work, signal: AbortSignal): Promise<ImageFiles> {
  const { id, name } = instanceOf(work)
  if (!work.image) fail('ImageNotFound', { id: `the image of ${name}, deleted since` })
  return images.hold(id, work.image, signal)
}

/** Sees that what the guest's disk stands on is here, fetched again if it is gone. Nothing to do for an image that was deleted. */
export async function keepImage(tools: Pick<Tools, 'images'>, { work, signal }: At): Promise<void> {
  if (work.image) await imageFiles(tools, work, signal)
}

async function disk({ driver, images }: Builds, { work, signal }: At): Promise<void> {
  // Asked for again: it costs a look at the cache, and this may be another life of the daemon than the one that fetched.
  await driver.createDisk(guestOf(work), await imageFiles({ images }, work, signal), signal)
}

async function start(tools: Builds, at: At): Promise<void> {
  // A daemon that was killed between undoing a failed boot and saying so has left nothing to start from.
  if ((await tools.driver.power(instanceOf(at.work).id)) === 'NOSTATE') await disk(tools, at)
  await tools.driver.start(guestOf(at.work), at.signal)
}

/** Fetches the image, makes the disk, starts the guest. A boot that fails or is cancelled leaves nothing on the host. */
export const boot: ComputeVerb<'boot'> = {
  steps: {
    async image(tools, { work, signal, withoutSlot }) {
      const files = await imageFiles(tools, work, signal)
      // A strange image may be made to take long.
      await withoutSlot(async () => tools.driver.checkImage?.(files, signal))
    },
    disk,
    start,
  },
  undo: {
    // Ends the guest, too, if it runs already.
    disk: ({ driver }, { work }) => driver.destroy(instanceOf(work).id),
    image: ({ images }, { work }) => images.release(instanceOf(work).id),
  },
}
