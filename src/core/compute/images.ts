import { chmod, mkdir, open, rename, rm, stat, statfs, utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { abortable, KeyedMutex } from '../base/concurrency.ts'
import { fail, isFailure, reason } from '../base/errors.ts'
import type { Work } from '../contracts/agent.ts'
import type { ImagePart } from '../contracts/shapes.ts'
import type { ImageFiles } from '../virt/driver.ts'
import type { ComputeDeps } from './deps.ts'
import { download, type Wanted } from './image-download.ts'
import { type CachedFile, cachedFiles, remove, toRemove } from './image-trim.ts'
import { type ImageUses, openUses } from './image-uses.ts'

type ImageDeps = Pick<ComputeDeps, 'computeAgent' | 'clock' | 'driver' | 'ids' | 'imageDir' | 'log'> & {
  readonly options: Pick<ComputeDeps['options'], 'imageCacheGb' | 'minFreeDiskGb'>
}

/** The image files that this host has, by checksum. */
export type Images = {
  /**
   * Sees that the image's files are here, fetched if they are not, and keeps them until {@link Images.release}: the
   * instance's disk may stand on them. `ImageCorrupt`; `DriverFailed` if the disk of this host is too full.
   */
  hold(instance: string, image: NonNullable<Work['image']>, signal: AbortSignal): Promise<ImageFiles>
  /** The instance is gone from this host. The files stay until their room is wanted. */
  release(instance: string): Promise<void>
  /** Removes these files, whose image was deleted, if no guest here can be standing on them. */
  drop(checksums: readonly string[]): Promise<void>
  /** Removes what nobody has needed for an hour, the longest unused first, while the cache is over its limit. */
  trim(): Promise<void>
}

/** A file on its way here, for all who wait for it. */
type Fetch = { cut: AbortController; waiting: number; path: Promise<string>; over: Promise<void> }

const unusedMs = 3_600_000
const gib = 2 ** 30

/** Opens the cache in `imageDir`; what an earlier life fetched, or had begun to fetch, is taken up. */
export async function openImages(deps: ImageDeps): Promise<Images> {
  await mkdir(deps.imageDir, { recursive: true })
  const uses = await openUses(join(deps.imageDir, 'uses'), deps.clock)
  const cache = new Cache(deps, uses)
  return {
    async hold(instance, image, signal) {
      const files = Object.entries(image.files) as Array<[ImagePart, Wanted['file']]>
      const checksums = files.map(([, file]) => file.sha256)
      await cache.alone(() => uses.record(instance, checksums))
      const paths: Partial<Record<ImagePart, string>> = {}
      for (const [part, file] of files) {
        paths[part] = await cache.have({ image: image.id, name: image.name, part, file }, signal)
      }
      // What does not say its format is raw: else a guest could write another format's header, and be believed.
      const disk = paths.disk === undefined ? undefined : { path: paths.disk, format: image.diskFormat ?? 'raw' }
      return { disk, kernel: paths.kernel, ramdisk: paths.ramdisk }
    },
    release: (instance) => cache.alone(() => uses.forget(instance)),
    drop: (checksums) => cache.alone(() => cache.drop(checksums)),
    trim: () => cache.alone(() => cache.trim()),
  }
}

/** How exactly the last use of a file is known, in ms: the time that it carries is not written for each of many boots. */
const useGrainMs = 60_000

class Cache {
  readonly #deps: ImageDeps
  readonly #uses: ImageUses
  readonly #fetches = new Map<string, Fetch>()
  readonly #mutex = new KeyedMutex()

  constructor(deps: ImageDeps, uses: ImageUses) {
    this.#deps = deps
    this.#uses = uses
  }

  /** Noting uses and removing files exclude one another: what is noted stays. */
  async alone<T>(action: () => Promise<T>): Promise<T> {
    const release = await this.#mutex.acquire('uses')
    try {
      return await action()
    } finally {
      release()
    }
  }

  /** The path of a file that is here and whole. Fetched once, however many ask; given up when all of them have. */
  async have(wanted: Wanted, signal: AbortSignal): Promise<string> {
    const { sha256 } = wanted.file
    for (;;) {
      signal.throwIfAborted()
      const fetch = this.#fetches.get(sha256)
      if (!fetch) this.#fetches.set(sha256, this.#begin(wanted))
      else if (fetch.cut.signal.aborted) await abortable(fetch.over, signal)
      else return await share(fetch, signal)
    }
  }

  #begin(wanted: Wanted): Fetch {
    const cut = new AbortController()
    const path = this.#fetch(wanted, cut.signal).finally(() => this.#fetches.delete(wanted.file.sha256))
    const over = path.then(
      () => {},
      () => {},
    )
    return { cut, waiting: 0, path, over }
  }

  async #fetch(wanted: Wanted, signal: AbortSignal): Promise<string> {
    const { clock, imageDir, log } = this.#deps
    const { sha256, sizeBytes } = wanted.file
    const path = join(imageDir, sha256)
    const here = await stat(path).catch(() => undefined)
    if (here?.size === sizeBytes) {
      if (clock.now() - here.mtimeMs > useGrainMs) await utimes(path, clock.now() / 1000, clock.now() / 1000)
      return path
    }
    await this.#makeRoom(wanted)
    try {
      await download(this.#deps, wanted, `${path}.part`, signal)
      // Disks stand on it: nobody is to write to it by mistake. Users of guests read it.
      await chmod(`${path}.part`, 0o444)
      await rename(`${path}.part`, path)
      await syncDirectory(imageDir)
    } catch (e) {
      if (isFailure(e) || signal.aborted) throw e
      await rm(`${path}.part`, { force: true })
      fail('DriverFailed', { action: `fetch image "${wanted.name}"`, why: reason(e) }, e)
    }
    log.info({ image: wanted.name, part: wanted.part, sha256, bytes: sizeBytes }, 'image file fetched')
    return path
  }

  async #makeRoom({ name, file }: Wanted): Promise<void> {
    const { imageDir, options } = this.#deps
    const needed = file.sizeBytes + (options.minFreeDiskGb ?? 1) * gib
    let free = await freeBytes(imageDir)
    if (free < needed) {
      await this.alone(async () => remove(toRemove(await this.#removable(0), needed - free)))
      free = await freeBytes(imageDir)
    }
    if (free >= needed) return
    const why = `${(needed / gib).toFixed(1)} GiB free disk needed, ${(free / gib).toFixed(1)} GiB there`
    fail('DriverFailed', { action: `fetch image "${name}"`, why })
  }

  async drop(checksums: readonly string[]): Promise<void> {
    const unused = await this.#removable(0)
    await remove(unused.filter(({ path }) => checksums.includes(basename(path))))
  }

  async trim(): Promise<void> {
    const { imageDir, options } = this.#deps
    if (options.imageCacheGb === undefined) return
    const total = (await cachedFiles(imageDir)).reduce((sum, { bytes }) => sum + bytes, 0)
    const surplus = total - options.imageCacheGb * gib
    if (surplus > 0) await remove(toRemove(await this.#removable(unusedMs), surplus))
  }

  /** Files that no guest here can be standing on, unused for `idleMs`. To be called {@link alone}. */
  async #removable(idleMs: number): Promise<CachedFile[]> {
    const { clock, driver, imageDir, log } = this.#deps
    const guests = new Set((await driver.list()).map(({ id }) => id))
    const noted = this.#uses.instances()
    // A note without a guest is a boot under way, unless it is old: then its daemon was killed and the boot given up.
    for (const [instance, at] of noted) {
      if (!guests.has(instance) && clock.now() - at > unusedMs) await this.#uses.forget(instance)
    }
    const strangers = [...guests].filter((id) => !noted.has(id))
    if (strangers.length > 0) {
      log.debug({ strangers }, 'no image file is removed: it is not known which ones these guests stand on')
      return []
    }
    return (await cachedFiles(imageDir)).filter(
      ({ checksum, usedAt }) =>
        !this.#uses.needed(checksum) && !this.#fetches.has(checksum) && clock.now() - usedAt >= idleMs,
    )
  }
}

/** Waits for a fetch with others; the last to leave before its end ends it. */
async function share(fetch: Fetch, signal: AbortSignal): Promise<string> {
  fetch.waiting++
  try {
    return await abortable(fetch.path, signal)
  } finally {
    fetch.waiting--
    if (fetch.waiting === 0) fetch.cut.abort(new Error('nobody waits for the image any more'))
  }
}

async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir)
  return bavail * bsize
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
