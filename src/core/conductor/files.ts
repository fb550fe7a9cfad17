import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { constants, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fail } from '../base/errors.ts'

/**
 * The image files, in one directory: each under the checksum of its content, so that equal files are there once, and
 * those that are still coming in under the name of who sends them. Conductors on several machines must share it.
 */
const uploads = 'incoming'

const finished = (dir: string, sha256: string): string => join(dir, sha256)
const incoming = (dir: string, upload: string): string => join(dir, uploads, upload)

/** Whether a file with this content is there. */
export async function hasFile(dir: string, sha256: string): Promise<boolean> {
  return (await sizeOf(finished(dir, sha256))) !== undefined
}

/** Writes a piece of a file that is coming in. The same piece again is harmless. */
export async function writePiece(dir: string, upload: string, offset: number, data: Uint8Array): Promise<void> {
  await mkdir(join(dir, uploads), { recursive: true, mode: 0o700 })
  // Made if it is missing and never cut: several pieces of one file come at the same time.
  const file = await open(incoming(dir, upload), constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    let written = 0
    while (written < data.length)
      written += (await file.write(data, written, data.length - written, offset + written)).bytesWritten
  } finally {
    await file.close()
  }
}

/**
 * The last piece has come: checks the content against what was announced and puts it where it is found from now on, in one
 * move. `ImageCorrupt` if it is something else; what has come in is gone then, to be sent again.
 */
export async function completeUpload(
  dir: string,
  upload: string,
  announced: { image: string; sha256: string; sizeBytes: number },
): Promise<void> {
  // Sent by two at once, or complete already from another image.
  const another = () => hasFile(dir, announced.sha256)
  const path = incoming(dir, upload)
  try {
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    const actual = hash.digest('hex')
    if (actual !== announced.sha256) {
      await rm(path, { force: true })
      if (await another()) return
      fail('ImageCorrupt', { name: announced.image, expected: announced.sha256, actual })
    }
    const file = await open(path, 'r+')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(path, finished(dir, announced.sha256))
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT' || !(await another())) throw e
  }
}

/** A piece of a file, shorter at its end, empty past it; undefined if there is no such file. */
export async function readPiece(
  dir: string,
  sha256: string,
  { offset, length }: { offset: number; length: number },
): Promise<Buffer | undefined> {
  const file = await open(finished(dir, sha256), 'r').catch((e) => {
    if (e.code !== 'ENOENT') throw e
    return undefined
  })
  if (!file) return undefined
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - offset)))
    let read = 0
    while (read < buffer.length) {
      const { bytesRead } = await file.read(buffer, read, buffer.length - read, offset + read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return buffer.subarray(0, read)
  } finally {
    await file.close()
  }
}

/** Removes a file for good. Content to find none. */
export async function removeFile(dir: string, sha256: string): Promise<void> {
  await rm(finished(dir, sha256), { force: true })
}

/** Removes what a sender has left half-sent; content to find none. */
export async function removeUpload(dir: string, upload: string): Promise<void> {
  await rm(incoming(dir, upload), { force: true })
}

/** Removes what has been coming in since before a time without a piece more. */
export async function removeStaleUploads(dir: string, before: number): Promise<number> {
  let removed = 0
  for (const name of await readdir(join(dir, uploads)).catch(() => [])) {
    const path = join(dir, uploads, name)
    const found = await stat(path).catch(() => undefined)
    if (!found || found.mtimeMs >= before) continue
    await rm(path, { force: true })
    removed++
  }
  return removed
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
