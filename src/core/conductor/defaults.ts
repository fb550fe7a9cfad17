import type { Clock } from '../base/clock.ts'
import { fail, isFailure } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Flavor, Image } from '../contracts/shapes.ts'
import type { Db } from '../db/open.ts'
import { tx } from '../db/tx.ts'
import type { Size } from '../model/instance.ts'
import { isEmptyCloud } from '../store/emptiness.ts'
import { addFlavors, listFlavors } from '../store/flavors.ts'
import { listImages } from '../store/images.ts'

/** The flavors that a new cloud has: Nova's own since its first release, and a smaller one for tiny guests. */
const standardFlavors: ReadonlyArray<Size & { name: string }> = [
  { name: 'm1.nano', vcpus: 1, memoryMb: 128, diskGb: 1 },
  { name: 'm1.tiny', vcpus: 1, memoryMb: 512, diskGb: 1 },
  { name: 'm1.small', vcpus: 1, memoryMb: 2048, diskGb: 20 },
  { name: 'm1.medium', vcpus: 2, memoryMb: 4096, diskGb: 40 },
  { name: 'm1.large', vcpus: 4, memoryMb: 8192, diskGb: 80 },
  { name: 'm1.xlarge', vcpus: 8, memoryMb: 16_384, diskGb: 160 },
]

/** The image that is taken where several are there and none is named. */
const builtIn = 'tiny'

/** Gives an empty cloud its standard flavors; one that was ever used keeps what its people have made of it. */
export async function ensureDefaults({ db, clock, ids }: { db: Db; clock: Clock; ids: Ids }): Promise<boolean> {
  if (!(await isEmptyCloud(db))) return false
  const now = clock.now()
  try {
    const flavors = standardFlavors.map((flavor) => ({ id: ids.uuid(), createdAt: now, ...flavor }))
    await tx(db, (db) => addFlavors(db, flavors))
    return true
  } catch (e) {
    // Another conductor has started at the same moment.
    if (isFailure(e, 'FlavorExists')) return false
    throw e
  }
}

/** The only image, or the one called `tiny`; else the caller must say which. */
export async function defaultImage(db: Db): Promise<Image> {
  const images = (await listImages(db)).filter(({ status }) => status === 'active')
  const taken = images.length === 1 ? images[0] : images.find(({ name }) => name === builtIn)
  if (taken) return taken
  if (images.length === 0)
    fail('InvalidRequest', { what: 'There is no image to boot from.', hint: 'Make one: nova image create' })
  fail('InvalidRequest', {
    what: `Which image? There are ${images.map(({ name }) => name).join(', ')}.`,
    hint: `Say which: nova boot --image ${images[0]?.name}`,
  })
}

/** The smallest flavor that the image fits. */
export async function defaultFlavor(db: Db, image: Image): Promise<Flavor> {
  const flavors = await listFlavors(db)
  const fitting = flavors.find((f) => f.memoryMb >= image.minMemoryMb && f.diskGb >= image.minDiskGb)
  if (fitting) return fitting
  fail('InvalidRequest', {
    what: `No flavor is large enough for image ${image.name}: it needs ${image.minMemoryMb} MB of memory and ${image.minDiskGb} GB of disk.`,
    hint: 'Make one: nova flavor create',
  })
}
