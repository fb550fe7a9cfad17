import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { mapConcurrent } from '../core/base/concurrency.ts'
import { readAt } from '../core/base/read-at.ts'
import type { ImageFile, ImagePart } from '../core/contracts/shapes.ts'
import { inspectDisk } from '../core/image-formats/inspect.ts'
import { misuse } from './command-error.ts'

/** Bytes of a piece; base64 adds a third, which is still far below what brokers accept. */
const pieceBytes = 1 << 20
/** Pieces that are sent concurrently. */
const inFlight = 4

/** A file that becomes part of an image. */
export type Source = { part: ImagePart; path: string; file: ImageFile; format: DiskFormat }
type DiskFormat = 'qcow2' | 'raw'

/** Sends a piece; repeating it is safe. */
type Write = (piece: { part: ImagePart; offset: number; data: string }) => Promise<unknown>

/**
 * Reads a file once for its size, its checksum and, for a disk, its format, if `said` does not say it. Misuse if it is not a
 * file, cannot be read, or is a disk that no guest could start from.
 */
export async function measure(
  part: ImagePart,
  path: string,
  onBytes: (bytes: number) => void,
  said?: DiskFormat,
): Promise<Source> {
  const handle = await openFile(part, path)
  try {
    const format = part === 'disk' ? await formatOf(handle, path, said) : 'raw'
    const hash = createHash('sha256')
    let sizeBytes = 0
    for await (const chunk of handle.createReadStream({ highWaterMark: pieceBytes, autoClose: false })) {
      const bytes = chunk as Buffer
      hash.update(bytes)
      sizeBytes += bytes.length
      onBytes(bytes.length)
    }
    if (sizeBytes === 0) misuse(`--${part}: ${path} is empty.`)
    return { part, path, file: { sizeBytes, sha256: hash.digest('hex') }, format }
  } finally {
    await handle.close()
  }
}

/** The service looks again, when it has the file; what is known now need not be sent. */
async function formatOf(handle: FileHandle, path: string, said: DiskFormat | undefined): Promise<DiskFormat> {
  const { size } = await handle.stat()
  const found = await inspectDisk((offset, length) => readAt(handle, offset, length), size, said)
  return 'why' in found ? misuse(`--disk: ${path} cannot be used: ${found.why}.`, found.hint) : found.format
}

/**
 * Sends a file in pieces, a few concurrently. The last piece goes alone, because the service then checks the whole
 * file.
 */
export async function upload(source: Source, write: Write, onBytes: (bytes: number) => void): Promise<void> {
  const { part, path, file } = source
  const handle = await openFile(part, path)
  const send = async (offset: number): Promise<void> => {
    const bytes = await readAt(handle, offset, Math.min(pieceBytes, file.sizeBytes - offset))
    if (bytes.length === 0) misuse(`--${part}: ${path} became shorter while it was read.`, 'Run the command again.')
    await write({ part, offset, data: bytes.toString('base64') })
    onBytes(bytes.length)
  }
  try {
    const offsets = Array.from({ length: Math.ceil(file.sizeBytes / pieceBytes) }, (_, i) => i * pieceBytes)
    await mapConcurrent(offsets.slice(0, -1), inFlight, send)
    await send(offsets.at(-1)!)
  } finally {
    await handle.close()
  }
}

async function openFile(part: ImagePart, path: string): Promise<FileHandle> {
  try {
    // Without waiting for somebody who writes to a pipe.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    misuse(
      `--${part}: ${path} ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`}.`,
      'Give the path of a file.',
    )
  }
  return misuse(`--${part}: ${path} is not a file.`, 'Give the path of a file.')
}
