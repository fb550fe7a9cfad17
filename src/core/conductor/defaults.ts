import type { Clock } from '../base/clock.ts'
import { fail, isFailure } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Flavor } from '../contracts/shapes.ts'
import type { Db } from '../db/open.ts'
import { tx } from '../db/tx.ts'
import type { Size } from '../model/instance.ts'
import { amountsOf, firstProject, quotaDefaults, quotaResources } from '../model/quota.ts'
import { isEmptyCloud } from '../store/emptiness.ts'
import { addFlavors, smallestFlavor } from '../store/flavors.ts'
import { activeImages, activeMax, type BootImage, findImage } from '../store/images.ts'
import { hasProject, lockProject, setQuota } from '../store/projects.ts'
import type { ConductorDeps } from './deps.ts'

/** The flavors that a new cloud has: Nova's own since its first release, and a smaller one for tiny guests. */
const standardFlavors: ReadonlyArray<Size & { name: string }> = [
  { name: 'm1.nano', vcpus: 1, memoryMb: 128, diskGb: 1 },
  { name: 'm1.tiny', vcpus: 1, memoryMb: 512, diskGb: 1 },
  { name: 'm1.small', vcpus: 1, memoryMb: 2048, diskGb: 20 },
  { name: 'm1.medium', vcpus: 2, memoryMb: 4096, diskGb: 40 },
  { name: 'm1.large', vcpus: 4, memoryMb: 8192, diskGb: 80 },
  { name: 'm1.xlarge', vcpus: 8, memoryMb: 16_384, diskGb: 160 },
]

/** The image that is taken if there are several and none is named. */
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

/**
 * The project that callers work in who name none starts without limits; but a limit that the operator has set in the
 * configuration counts there, too.
 */
export async function ensureFirstProject({
  db,
  clock,
  options: { quota },
}: Pick<ConductorDeps, 'db' | 'clock' | 'options'>): Promise<void> {
  const [set, unset] = [amountsOf(quota), amountsOf(quotaDefaults)]
  const free = quotaResources.filter((resource) => set[resource] === unset[resource])
  await tx(db, async (db) => {
    if (await hasProject(db, firstProject)) return
    await lockProject(db, firstProject, clock.now())
    await setQuota(db, firstProject, Object.fromEntries(free.map((resource) => [resource, -1])))
  })
}

/** The only image that the project has or everybody may use, or the one called `tiny`; else the caller must say which. */
export async function defaultImage(db: Db, projectId: string): Promise<BootImage> {
  const [first, ...others] = await activeImages(db, projectId)
  if (!first) fail('InvalidRequest', { what: 'There is no image to boot from.', hint: 'Make one: nova image create' })
  if (others.length === 0) return first
  const tiny = await findImage(db, builtIn, { projectId, all: false })
  if (tiny?.status === 'active') return tiny
  const names = [first, ...others].slice(0, activeMax - 1).map(({ name }) => name)
  fail('InvalidRequest', {
    what: `Which image? There are ${names.join(', ')}${others.length < activeMax - 1 ? '' : ' and more'}.`,
    hint: `Say which: nova boot --image ${first.name}`,
  })
}

/** The smallest flavor that the image fits. */
export async function defaultFlavor(db: Db, image: BootImage): Promise<Flavor> {
  const smallest = await smallestFlavor(db, image)
  if (smallest) return smallest
  fail('InvalidRequest', {
    what: `No flavor is large enough for image ${image.name}: it needs ${image.minMemoryMb} MB of memory and ${image.minDiskGb} GB of disk.`,
    hint: 'Make one: nova flavor create',
  })
}
