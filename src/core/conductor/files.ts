import { open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readAt } from '../base/read-at.ts'
import type { ReadAt } from '../image-formats/qcow2.ts'

/**
 * The image files, in one directory: each under the checksum of its content, so that equal files are there once, and
 * those that are still coming in under the name of who sends them. Conductors on several machines must share it.
 */
const uploads = 'incoming'

/** Where a file with this content is. */
export const fileOf = (dir: string, sha256: string): string => join(dir, sha256)
/** Where files are that come in. */
export const incomingDir = (dir: string): string => join(dir, uploads)
/** A file that comes in. */
export const incomingFile = (dir: string, upload: string): string => join(dir, uploads, upload)
/** Which of its bytes have come. */
export const receivedFile = (dir: string, upload: string): string => join(dir, uploads, `${upload}.received`)

/** Whether a file with this content is there, as large as it is said to be. */
export async function hasFile(dir: string, file: { sha256: string; sizeBytes: number }): Promise<boolean> {
  return (await sizeOf(fileOf(dir, file.sha256))) === file.sizeBytes
}

/** A piece of a file, shorter at its end, empty past it; undefined if there is no such file. */
export async function readPiece(
  dir: string,
  sha256: string,
  { offset, length }: { offset: number; length: number },
): Promise<Buffer | undefined> {
  return reading(fileOf(dir, sha256), async (read, size) => read(offset, Math.max(0, Math.min(length, size - offset))))
}

/** What `look` makes of a file, which it reads as it likes; undefined if there is no such file. */
export async function reading<T>(
  path: string,
  look: (read: ReadAt, sizeBytes: number) => Promise<T>,
): Promise<T | undefined> {
  const file = await open(path, 'r').catch((e) => {
    if (e.code !== 'ENOENT') throw e
    return undefined
  })
  if (!file) return undefined
  try {
    const read: ReadAt = (offset, length) => readAt(file, offset, length)
    return await look(read, (await file.stat()).size)
  } finally {
    await file.close()
  }
}

/** Removes a file for good. Content to find none. */
export async function removeFile(dir: string, sha256: string): Promise<void> {
  await rm(fileOf(dir, sha256), { force: true })
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

/** When something of a file that comes in has come last, in milliseconds since the epoch; undefined if nothing has. */
export const lastCame = (dir: string, upload: string): Promise<number | undefined> =>
  stat(incomingFile(dir, upload)).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  )

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
