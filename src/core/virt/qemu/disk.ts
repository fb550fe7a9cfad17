import { open, rename, rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { fail, reason } from '../../base/errors.ts'
import { l1Needed, parseQcow2, type Qcow2Header, qcow2HeaderBytes } from '../../image-formats/qcow2.ts'
import type { ImageFiles } from '../driver.ts'
import type { ImageChecks } from './image-check.ts'
import type { QemuImg } from './qemu-img.ts'

const gib = 1 << 30

/** Whether there is something at this path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/**
 * The header of a qcow2 file, read by ourselves: a qcow2 from elsewhere may name any file of this host as its backing or
 * data file, and QEMU's own tools would open it. Fails if the file keeps its data in another one, or has a larger table than
 * its size needs: the time that a check takes grows with the table.
 */
async function readQcow2(path: string): Promise<Qcow2Header> {
  const file = await open(path, 'r')
  try {
    const bytes = Buffer.alloc(qcow2HeaderBytes)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    const header = parseQcow2(bytes.subarray(0, bytesRead))
    if (header.hasDataFile) throw new Error('it keeps its data elsewhere')
    if (header.l1Entries > l1Needed(header))
      throw new Error('its L1 table is larger than its size needs; make it anew: qemu-img convert -O qcow2')
    return header
  } finally {
    await file.close()
  }
}

/** The virtual size in bytes of an image's disk. `ImageUnusable` if it is qcow2 and not what may stand on a host. */
async function imageBytes({ path, format }: NonNullable<ImageFiles['disk']>): Promise<number> {
  if (format === 'raw') return (await stat(path)).size
  try {
    const { virtualBytes, hasBacking } = await readQcow2(path)
    if (hasBacking) throw new Error('it has a backing file')
    return virtualBytes
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== undefined) throw e
    return fail('ImageUnusable', { image: basename(path), why: reason(e) }, e)
  }
}

/** `ImageUnusable` if no guest is to be made of the image's disk: it is damaged, or refers to other files. */
export async function checkImage(checks: ImageChecks, { disk }: ImageFiles, signal?: AbortSignal): Promise<void> {
  if (disk?.format !== 'qcow2') return
  await imageBytes(disk)
  await checks.whole(disk.path, signal)
}

/**
 * Puts a disk that came from another host on the image's disk in the cache of this host, or on none. Whatever backing
 * file the disk names by itself is never looked at.
 */
export async function rebaseDisk(qemuImg: QemuImg, path: string, image: ImageFiles['disk']): Promise<void> {
  if (image && !(await exists(image.path))) throw new Error('its image is not on this host')
  try {
    await readQcow2(path)
    const damage = await qemuImg.lent(path, async () => {
      await qemuImg.rebase(path, image)
      return qemuImg.check(path)
    })
    if (damage !== undefined) throw new Error(damage)
  } catch (e) {
    throw new Error(`its disk cannot be used: ${reason(e)}`, { cause: e })
  }
  if ((await readQcow2(path)).hasBacking !== (image !== undefined)) throw new Error('its disk was not put on its image')
}

/**
 * Makes the guest's disk at `path`: a qcow2 overlay of the image's disk, or an empty disk if the image has none and
 * the flavor has one. A disk that is there already is kept: it may hold the guest's data.
 */
export async function createDisk(
  { qemuImg, checks }: { qemuImg: QemuImg; checks: ImageChecks },
  path: string,
  image: ImageFiles,
  diskGb: number,
  signal?: AbortSignal,
): Promise<void> {
  if (await exists(path)) return
  if (image.disk === undefined && diskGb === 0) return
  const wanted = diskGb * gib
  const needed = image.disk ? await imageBytes(image.disk) : 0
  if (wanted > 0 && needed > wanted)
    throw new Error(`the image's disk has ${(needed / gib).toFixed(1)} GiB, the flavor only ${diskGb}`)
  await checkImage(checks, image, signal)
  // Under another name until it is whole: a disk that is there is taken for good.
  const part = `${path}.part`
  await rm(part, { force: true })
  await qemuImg.create(part, image.disk, wanted || needed)
  signal?.throwIfAborted()
  await rename(part, path)
}
