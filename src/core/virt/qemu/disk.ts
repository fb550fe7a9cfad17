import { open, rename, rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { reason } from '../../base/errors.ts'
import { exec } from '../../base/exec.ts'
import { parseQcow2, type Qcow2Header, qcow2HeaderBytes } from '../../image-formats/qcow2.ts'
import type { ImageFiles } from '../driver.ts'

const gib = 1 << 30

/** Whether there is something at this path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/**
 * The header of a qcow2 file, read by ourselves: a qcow2 from elsewhere may name any file of this host as its backing or
 * data file, and QEMU's own tools would open it. Fails if the file keeps its data in another one.
 */
async function readQcow2(path: string): Promise<Qcow2Header> {
  const file = await open(path, 'r')
  try {
    const bytes = Buffer.alloc(qcow2HeaderBytes)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    const header = parseQcow2(bytes.subarray(0, bytesRead))
    if (header.hasDataFile) throw new Error('it keeps its data elsewhere')
    return header
  } finally {
    await file.close()
  }
}

/** The virtual size in bytes of an image's qcow2 file, which must stand alone. */
async function qcow2Bytes(path: string): Promise<number> {
  const { virtualBytes, hasBacking } = await readQcow2(path)
  if (hasBacking) throw new Error('it has a backing file')
  return virtualBytes
}

/** What qemu-img said of a file, without the place of the file: members read it, too. */
const firstLine = (text: string, path: string): string =>
  (text.trim().split('\n')[0] ?? '').replaceAll(path, basename(path))

/** Fails if a qcow2 file is cut off or damaged: QEMU would start a guest on it all the same. Leaked clusters are no harm. */
async function checkWhole(qemuImg: string, path: string): Promise<void> {
  const leaksOnly = 3
  const { code, stdout, stderr } = await exec(qemuImg, ['check', '-q', '-f', 'qcow2', path], { timeoutMs: 300_000 })
  if (code === 0 || code === leaksOnly) return
  throw new Error(`it is damaged or cut off (${qemuImg} check: ${firstLine(stderr || stdout, path)})`)
}

/** The outcome of a look at an image's file, whose failure names the image. */
async function ofImage<T>(image: NonNullable<ImageFiles['disk']>, look: (path: string) => Promise<T>): Promise<T> {
  try {
    return await look(image.path)
  } catch (e) {
    throw new Error(`image ${basename(image.path)} cannot be used: ${reason(e)}`, { cause: e })
  }
}

async function imageBytes(image: NonNullable<ImageFiles['disk']>): Promise<number> {
  return image.format === 'raw' ? (await stat(image.path)).size : await ofImage(image, qcow2Bytes)
}

/**
 * Puts a disk that came from another host on the image's disk in the cache of this host, or on none. Whatever backing
 * file the disk names by itself is never looked at.
 */
export async function rebaseDisk(qemuImg: string, path: string, image: ImageFiles['disk']): Promise<void> {
  if (image && !(await exists(image.path))) throw new Error('its image is not on this host')
  await readQcow2(path)
  const backing = image ? ['-b', image.path, '-F', image.format] : ['-b', '']
  const rebased = await exec(qemuImg, ['rebase', '-q', '-u', '-f', 'qcow2', ...backing, path])
  if (rebased.code !== 0) throw new Error(`its disk cannot be used: ${qemuImg}: ${firstLine(rebased.stderr, path)}`)
  if ((await readQcow2(path)).hasBacking !== (image !== undefined)) throw new Error('its disk was not put on its image')
  try {
    await checkWhole(qemuImg, path)
  } catch (e) {
    throw new Error(`its disk cannot be used: ${reason(e)}`, { cause: e })
  }
}

/**
 * Makes the guest's disk at `path`: a qcow2 overlay of the image's disk, or an empty disk if the image has none and
 * the flavor has one. A disk that is there already is kept: it may hold the guest's data.
 */
export async function createDisk(
  qemuImg: string,
  path: string,
  image: ImageFiles,
  diskGb: number,
  signal?: AbortSignal,
): Promise<void> {
  if (await exists(path)) return
  if (image.disk === undefined && diskGb === 0) return
  const wanted = diskGb * gib
  const backing: string[] = []
  if (image.disk) {
    const needed = await imageBytes(image.disk)
    if (wanted > 0 && needed > wanted) {
      throw new Error(`the image's disk has ${(needed / gib).toFixed(1)} GiB, the flavor only ${diskGb}`)
    }
    if (image.disk.format === 'qcow2') await ofImage(image.disk, (file) => checkWhole(qemuImg, file))
    backing.push('-b', image.disk.path, '-F', image.disk.format)
  }
  // Under another name until it is whole: a disk that is there is taken for good.
  const part = `${path}.part`
  await rm(part, { force: true })
  const size = wanted > 0 ? [String(wanted)] : []
  const made = await exec(qemuImg, ['create', '-q', '-f', 'qcow2', ...backing, part, ...size])
  if (made.code !== 0) throw new Error(`${qemuImg}: ${made.stderr.trim()}`)
  signal?.throwIfAborted()
  await rename(part, path)
}
