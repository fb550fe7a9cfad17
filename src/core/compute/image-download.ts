import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { fail } from '../base/errors.ts'
import { retryWhileUnavailable } from '../base/retry.ts'
import type { ImageFile, ImagePart } from '../contracts/shapes.ts'
import { serviceContext } from '../model/context.ts'
import type { ComputeDeps } from './deps.ts'

/** A file that is wanted: of which image, and what it must be. */
export type Wanted = { image: string; name: string; part: ImagePart; file: ImageFile }

type DownloadDeps = Pick<ComputeDeps, 'computeAgent' | 'clock' | 'ids' | 'log'>

const pieceBytes = 1 << 20
/** Pieces that are asked for before the first has come. */
const piecesAhead = 4

/**
 * Fetches a file piece by piece to `to` and sees it safely on the disk. Goes on with what an interrupted fetch left there.
 * A wrong checksum is tried once more from the start, then fails with `ImageCorrupt`. Waits while the conductor is away.
 */
export async function download(deps: DownloadDeps, wanted: Wanted, to: string, signal: AbortSignal): Promise<void> {
  const expected = wanted.file.sha256
  let actual = ''
  for (const attempt of [1, 2]) {
    const handle = await open(to, attempt === 1 ? 'a+' : 'w+', 0o600)
    try {
      actual = await fill(deps, wanted, handle, signal)
      if (actual === expected) return await handle.sync()
    } finally {
      await handle.close()
    }
    await rm(to, { force: true })
    deps.log.warn({ image: wanted.name, part: wanted.part, expected, actual, attempt }, 'image file is corrupt')
  }
  fail('ImageCorrupt', { name: wanted.name, expected, actual })
}

/** Appends what is missing; answers with the checksum of the whole. */
async function fill(deps: DownloadDeps, wanted: Wanted, handle: FileHandle, signal: AbortSignal): Promise<string> {
  const { sizeBytes } = wanted.file
  const hash = createHash('sha256')
  const begun = (await handle.stat()).size
  if (begun > sizeBytes) await handle.truncate(0)
  const from = begun > sizeBytes ? 0 : await hashed(handle, hash)
  for await (const piece of pieces(deps, wanted, from, signal)) {
    hash.update(piece)
    await handle.appendFile(piece)
  }
  return hash.digest('hex')
}

async function hashed(handle: FileHandle, hash: Hash): Promise<number> {
  const buffer = Buffer.alloc(pieceBytes)
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(buffer, 0, pieceBytes, at)
    if (bytesRead === 0) return at
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

/** The file's bytes from `from` on, in order, with a few pieces under way. Ends early if the file is shorter. */
async function* pieces(deps: DownloadDeps, wanted: Wanted, from: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { image, part, file } = wanted
  const ctx = serviceContext('compute', deps.ids.requestId())
  const read = async (offset: number, length: number): Promise<Buffer> => {
    const ask = () => deps.computeAgent.imageRead(ctx, { image, part, offset, length })
    const { data } = await retryWhileUnavailable(deps, signal, ask)
    return Buffer.from(data, 'base64')
  }
  const ahead: Array<{ length: number; piece: Promise<Buffer> }> = []
  let asked = from
  for (;;) {
    while (ahead.length < piecesAhead && asked < file.sizeBytes) {
      const length = Math.min(pieceBytes, file.sizeBytes - asked)
      const piece = read(asked, length)
      // One that fails while an earlier one is awaited must not count as unhandled.
      piece.catch(() => {})
      ahead.push({ length, piece })
      asked += length
    }
    const next = ahead.shift()
    if (!next) return
    const piece = await next.piece
    yield piece
    if (piece.length !== next.length) return
  }
}
