import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { type Images, openImages } from '../../../src/core/compute/images.ts'
import { guest, newRig, type Rig } from './rig.ts'
import { away } from './stand-in.ts'

const never = () => new AbortController().signal
const pieceBytes = 1 << 20

/** A rig whose image is `bytes` long, and the cache of a life of its host. */
async function withImage(bytes: number): Promise<{ rig: Rig; images: Images; content: Buffer; reads(): number }> {
  const rig = await newRig()
  const content = randomBytes(bytes)
  rig.conductor.files.set('disk', content)
  const images = await openImages(rig.deps())
  return { rig, images, content, reads: () => rig.conductor.saidOf('imageRead').length }
}

/** A guest on this host that stands on the image. */
async function bootOn(rig: Rig, images: Images): Promise<string> {
  const id = systemIds.uuid()
  await rig.fake.createDisk(guest(id), await images.hold(id, rig.conductor.image(), never()))
  return id
}

/** Compared by Buffer: a test runner takes its time over a million numbers. */
const holds = async (path: string, content: Buffer) => (await readFile(path)).equals(content)
const files = async (rig: Rig) => (await readdir(rig.imageDir)).filter((name) => name !== 'uses')
const longUnused = async (rig: Rig) => {
  for (const name of await files(rig)) await utimes(join(rig.imageDir, name), 1, 1)
}

describe('an image file', () => {
  test('is fetched in pieces, checked, named by its checksum and read-only', async () => {
    const { rig, images, content, reads } = await withImage(5 * pieceBytes + 17)
    const { disk, kernel } = await images.hold('i1', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
    expect(disk).toEqual({ path: join(rig.imageDir, rig.conductor.image().files.disk!.sha256), format: 'qcow2' })
    expect((await stat(disk!.path)).mode & 0o777).toBe(0o444)
    expect(kernel).toBeUndefined()
    expect(reads()).toBe(6)
    expect(await files(rig)).toHaveLength(1)
  })

  test('may be empty, and an image may have several', async () => {
    const { rig, images } = await withImage(0)
    rig.conductor.files.set('kernel', Buffer.from('kernel')).set('ramdisk', Buffer.from('ramdisk'))
    const held = await images.hold('i1', rig.conductor.image(), never())
    expect(await readFile(held.kernel!, 'utf8')).toBe('kernel')
    expect(await readFile(held.ramdisk!, 'utf8')).toBe('ramdisk')
    expect((await stat(held.disk!.path)).size).toBe(0)
  })

  test('is fetched once, however many want it, and never again', async () => {
    const { rig, images, reads } = await withImage(3 * pieceBytes)
    await Promise.all(Array.from({ length: 20 }, (_, n) => images.hold(`i${n}`, rig.conductor.image(), never())))
    await images.hold('later', rig.conductor.image(), never())
    await (await openImages(rig.deps())).hold('in another life', rig.conductor.image(), never())
    expect(reads()).toBe(3)
  })

  test('goes on for those who still want it when another gives up', async () => {
    const { rig, images, content } = await withImage(3 * pieceBytes)
    const one = new AbortController()
    rig.conductor.trouble = (method) => {
      if (method === 'imageRead') one.abort(new Error('cancelled'))
      return undefined
    }
    const [given, wanted] = await Promise.allSettled([
      images.hold('i1', rig.conductor.image(), one.signal),
      images.hold('i2', rig.conductor.image(), never()),
    ])
    expect(given).toMatchObject({ status: 'rejected', reason: { message: 'cancelled' } })
    expect(wanted.status === 'fulfilled' && (await holds(wanted.value.disk!.path, content))).toBe(true)
  })

  test('is given up when nobody wants it, and taken up from there by the next', async () => {
    const { rig, images, content, reads } = await withImage(12 * pieceBytes)
    const one = new AbortController()
    rig.conductor.trouble = (method, when) => {
      if (method === 'imageRead' && when === 'before' && reads() === 8) one.abort(new Error('cancelled'))
      return undefined
    }
    await expect(images.hold('i1', rig.conductor.image(), one.signal)).rejects.toThrow('cancelled')
    rig.conductor.trouble = () => undefined
    const { disk } = await images.hold('i2', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
    expect(reads()).toBeLessThan(20)
  })

  test('is taken up by the next life where one was killed', async () => {
    const { rig, images, content, reads } = await withImage(8 * pieceBytes)
    const part = join(rig.imageDir, `${rig.conductor.image().files.disk!.sha256}.part`)
    await writeFile(part, content.subarray(0, 5 * pieceBytes + 3))
    const { disk } = await images.hold('i1', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
    expect(reads()).toBe(3)
    expect(await files(rig)).toHaveLength(1)
  })

  test.each(['wrong', 'too long'])('is fetched anew where what was left of it is %s', async (how) => {
    const { rig, images, content } = await withImage(2 * pieceBytes)
    const part = join(rig.imageDir, `${rig.conductor.image().files.disk!.sha256}.part`)
    await writeFile(part, randomBytes(how === 'wrong' ? pieceBytes : 3 * pieceBytes))
    const { disk } = await images.hold('i1', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
  })

  test('is fetched anew where it is not whole', async () => {
    const { rig, images, content } = await withImage(2 * pieceBytes)
    const { disk } = await images.hold('i1', rig.conductor.image(), never())
    await truncate(disk!.path, 5)
    await images.hold('i2', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
  })

  test('that is not what was announced is tried once more, then refused', async () => {
    const { rig, images, content, reads } = await withImage(2 * pieceBytes)
    const announced = rig.conductor.image()
    rig.conductor.files.set('disk', Buffer.concat([content.subarray(1), Buffer.from([0])]))
    const error = await images.hold('i1', announced, never()).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'ImageCorrupt', params: { expected: announced.files.disk!.sha256 } })
    expect(reads()).toBe(4)
    expect(await files(rig)).toEqual([])
  })

  test('that ends too early is refused', async () => {
    const { rig, images, content } = await withImage(3 * pieceBytes)
    const announced = rig.conductor.image()
    rig.conductor.files.set('disk', content.subarray(0, pieceBytes + 5))
    await expect(images.hold('i1', announced, never())).rejects.toMatchObject({ code: 'ImageCorrupt' })
  })

  test('waits while the conductor is away, and fails where it says no', async () => {
    const { rig, images, content, reads } = await withImage(3 * pieceBytes)
    let left = 5
    rig.conductor.trouble = (method) => (method === 'imageRead' && left-- > 0 ? away() : undefined)
    const { disk } = await images.hold('i1', rig.conductor.image(), never())
    expect(await holds(disk!.path, content)).toBe(true)
    expect(reads()).toBe(3)
    rig.conductor.files.set('disk', randomBytes(10))
    rig.conductor.trouble = (method) =>
      method === 'imageRead' ? new Failure('ImageNotFound', { id: 'tiny' }) : undefined
    await expect(images.hold('i2', rig.conductor.image(), never())).rejects.toMatchObject({ code: 'ImageNotFound' })
  })

  test('that cannot be kept says so and leaves nothing half done', async () => {
    const { rig, images } = await withImage(10)
    const inTheWay = rig.conductor.image().files.disk!.sha256
    await mkdir(join(rig.imageDir, inTheWay))
    const error = await images.hold('i1', rig.conductor.image(), never()).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'DriverFailed', params: { action: 'fetch image "tiny"' } })
    expect(await files(rig)).toEqual([inTheWay])
  })

  test('is not fetched where the disk would be too full', async () => {
    const { rig } = await withImage(10)
    const deps = rig.deps()
    const images = await openImages({ ...deps, options: { ...deps.options, minFreeDiskGb: 1_000_000 } })
    const error = await images.hold('i1', rig.conductor.image(), never()).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'DriverFailed' })
    expect((error as Failure).message).toMatch(/fetch image "tiny": 1000000.0 GiB free disk needed, [\d.]+ GiB there/)
  })
})

describe('trimming', () => {
  const tight = async (rig: Rig): Promise<Images> => {
    const deps = rig.deps()
    return openImages({ ...deps, options: { ...deps.options, imageCacheGb: 0 } })
  }

  test('keeps what a guest stands on, in this life and the next, until it is deleted', async () => {
    const { rig } = await withImage(10)
    const first = await tight(rig)
    const id = await bootOn(rig, first)
    const needed = await files(rig)
    for (const images of [first, await tight(rig)]) {
      rig.conductor.files.set('disk', randomBytes(10))
      await images.hold('passing', rig.conductor.image(), never())
      await images.release('passing')
      await longUnused(rig)
      await images.trim()
      expect(await files(rig)).toEqual(needed)
    }
    const images = await tight(rig)
    await rig.fake.destroy(id)
    await images.release(id)
    await longUnused(rig)
    await images.trim()
    expect(await files(rig)).toEqual([])
  })

  test('keeps what is on its way into a disk', async () => {
    const { rig } = await withImage(10)
    const images = await tight(rig)
    await images.hold('booting', rig.conductor.image(), never())
    await longUnused(rig)
    await images.trim()
    expect(await files(rig)).toHaveLength(1)
  })

  test('keeps what was used a moment ago, and all of it below the limit', async () => {
    const { rig, images: roomy } = await withImage(10)
    const images = await tight(rig)
    await images.hold('i1', rig.conductor.image(), never())
    await images.release('i1')
    await images.trim()
    expect(await files(rig)).toHaveLength(1)
    await longUnused(rig)
    await roomy.trim()
    expect(await files(rig)).toHaveLength(1)
  })

  test('removes nothing while there is a guest of which nobody knows what it stands on', async () => {
    const { rig } = await withImage(10)
    const images = await tight(rig)
    await images.hold('i1', rig.conductor.image(), never())
    await images.release('i1')
    await rig.fake.createDisk(guest('stranger'), {
      disk: { path: '/elsewhere', format: 'raw' },
      kernel: undefined,
      ramdisk: undefined,
    })
    await longUnused(rig)
    await images.trim()
    expect(await files(rig)).toHaveLength(1)
  })

  test('removes the longest unused first, and no more than it must', async () => {
    const rig = await newRig()
    const gib = 2 ** 30
    const deps = rig.deps()
    const images = await openImages({ ...deps, options: { ...deps.options, imageCacheGb: 25 / gib } })
    for (let n = 0; n < 4; n++) {
      rig.conductor.files.set('disk', randomBytes(10))
      const { disk } = await images.hold(`i${n}`, rig.conductor.image(), never())
      await images.release(`i${n}`)
      await utimes(disk!.path, 100 - n, 100 - n)
    }
    await images.trim()
    const left = await Promise.all(
      (await files(rig)).map(async (name) => (await stat(join(rig.imageDir, name))).mtimeMs),
    )
    expect(left.sort()).toEqual([100_000, 99_000])
  })

  test('removes what a fetch that was never taken up again has left', async () => {
    const { rig } = await withImage(10)
    const images = await tight(rig)
    await appendFile(join(rig.imageDir, `${'a'.repeat(64)}.part`), 'something')
    await longUnused(rig)
    await images.trim()
    expect(await files(rig)).toEqual([])
  })
})
