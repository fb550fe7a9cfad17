import { createHash, type Hash } from 'node:crypto'
import { constants, type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises'
import { KeyedMutex } from '../base/concurrency.ts'
import { fail } from '../base/errors.ts'
import { fileOf, hasFile, incomingDir, incomingFile, receivedFile } from './files.ts'

/** What a file was announced as; `check` looks into it when it is whole and before anybody can use it, and may refuse it. */
export type Announced = {
  readonly image: string
  readonly sha256: string
  readonly sizeBytes: number
  readonly check: (path: string) => Promise<void>
}

/** So far ahead of the first byte that is missing a piece may be: a file has no large holes. */
const aheadBytes = 64 << 20
/** How many gaps between pieces a file may have at once; who sends in order has as many as it has pieces under way. */
const gapsMax = 1024
/** Bytes that are read and hashed at once, before the next look at whether the file is still wanted. */
const stretch = 4 << 20
const mib = 1 << 20
/** Of so many files that were completed it is remembered, for those who bring their last piece once more. */
const completedMax = 1000

type Range = [from: number, to: number]

/** How much of a file has come, as this process knows it, and the checksum of its beginning. */
type Upload = { logBytes: number; ranges: Range[]; hash: Hash; hashed: number }

/**
 * Files that are coming in. Pieces of one file may come to several conductors, which share the directory: beside each file is
 * a log of which bytes have come, and a file is complete when the log has all of them. Bytes that have come are never
 * written again, so that they can be hashed at once.
 */
export class Uploads {
  readonly #dir: string
  readonly #reserveBytes: number
  readonly #known = new Map<string, Upload>()
  readonly #completed = new Set<string>()
  readonly #mutex = new KeyedMutex()

  /** `reserveBytes` of the disk stay free. */
  constructor(dir: string, reserveBytes: number) {
    this.#dir = dir
    this.#reserveBytes = reserveBytes
  }

  /** Fails unless so many bytes more fit on the disk of the images. `InvalidRequest`. */
  async checkRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#dir)
    const room = Math.max(0, bavail * bsize - this.#reserveBytes)
    if (bytes <= room) return
    const of = (n: number) => Math.floor(n / mib)
    fail('InvalidRequest', {
      what: `There is no room for the image: ${Math.ceil(bytes / mib)} MiB needed, ${of(room)} MiB free beside the reserve of ${of(this.#reserveBytes)} MiB.`,
      hint: 'Delete images that nobody needs, enlarge the disk under conductor.image_dir, or set conductor.image_reserve_mib.',
    })
  }

  /**
   * Writes a piece; the same again is harmless. True if the file is complete now, and is where {@link fileOf} says: this holds
   * for one caller or several, and the content is checked once. `ImageCorrupt` if it is not what was announced; what has come
   * is gone then, to be sent again.
   */
  async write(upload: string, announced: Announced, offset: number, data: Uint8Array): Promise<boolean> {
    const release = await this.#mutex.acquire(upload)
    try {
      if (this.#completed.has(upload)) return true
      const file = await this.#open(upload)
      try {
        const state = await this.#refresh(upload)
        await this.#take(file, upload, state, offset, data)
        if (begun(state) < announced.sizeBytes) return false
        await this.#complete(file, upload, state, announced)
        return true
      } finally {
        await file.close()
      }
    } finally {
      release()
    }
  }

  /** Removes what has come of a file. A check that is under way ends. */
  async drop(upload: string): Promise<void> {
    this.#known.delete(upload)
    this.#completed.delete(upload)
    await rm(incomingFile(this.#dir, upload), { force: true })
    await rm(receivedFile(this.#dir, upload), { force: true })
  }

  async #open(upload: string): Promise<FileHandle> {
    await mkdir(incomingDir(this.#dir), { recursive: true, mode: 0o700 })
    return open(incomingFile(this.#dir, upload), constants.O_RDWR | constants.O_CREAT, 0o600)
  }

  /** Reads what conductors, this one too, have added to the log since the last look. */
  async #refresh(upload: string): Promise<Upload> {
    const log = await open(receivedFile(this.#dir, upload), 'a+', 0o600)
    try {
      const { size } = await log.stat()
      let state = this.#known.get(upload)
      // The file was removed meanwhile, and is sent anew.
      if (!state || state.logBytes > size) state = { logBytes: 0, ranges: [], hash: createHash('sha256'), hashed: 0 }
      this.#known.set(upload, state)
      const news = Buffer.alloc(Math.floor((size - state.logBytes) / 16) * 16)
      await log.read(news, 0, news.length, state.logBytes)
      for (let i = 0; i < news.length; i += 16)
        add(state.ranges, [Number(news.readBigUInt64LE(i)), Number(news.readBigUInt64LE(i + 8))])
      state.logBytes += news.length
      return state
    } finally {
      await log.close()
    }
  }

  /** Writes what has not come yet, then notes that it has. */
  async #take(file: FileHandle, upload: string, state: Upload, offset: number, data: Uint8Array): Promise<void> {
    const end = offset + data.length
    const first = begun(state)
    if (offset > first + aheadBytes || state.ranges.length > gapsMax)
      fail('InvalidRequest', {
        what: `A piece at byte ${offset} comes too early: the bytes from ${first} on are missing.`,
        hint: 'Send the pieces in order.',
      })
    const missing = gaps(state.ranges, [offset, end])
    if (missing.length === 0) return
    await this.checkRoom(data.length)
    for (const [from, to] of missing) await writeAll(file, data.subarray(from - offset, to - offset), from)
    const log = await open(receivedFile(this.#dir, upload), 'a', 0o600)
    try {
      const note = Buffer.alloc(16)
      note.writeBigUInt64LE(BigInt(offset), 0)
      note.writeBigUInt64LE(BigInt(end), 8)
      await log.appendFile(note)
    } finally {
      await log.close()
    }
    add(state.ranges, [offset, end])
    if (missing.length === 1 && missing[0]?.[0] === state.hashed && state.hashed === offset) {
      state.hash.update(data)
      state.hashed = end
    } else await hashOn(file, state, Math.min(begun(state), state.hashed + 4 * data.length))
  }

  async #complete(file: FileHandle, upload: string, state: Upload, announced: Announced): Promise<void> {
    try {
      await hashOn(file, state, announced.sizeBytes)
      const actual = state.hash.digest('hex')
      if (actual !== announced.sha256)
        fail('ImageCorrupt', { name: announced.image, expected: announced.sha256, actual })
      await announced.check(incomingFile(this.#dir, upload))
      await file.sync()
      await rename(incomingFile(this.#dir, upload), fileOf(this.#dir, announced.sha256))
    } catch (e) {
      // Another conductor has completed the file meanwhile, or the image was deleted.
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT' || !(await hasFile(this.#dir, announced))) throw e
    } finally {
      await this.drop(upload)
    }
    this.#completed.add(upload)
    for (const oldest of this.#completed) if (this.#completed.size > completedMax) this.#completed.delete(oldest)
  }
}

/** How far the file has come without a gap. */
const begun = ({ ranges: [first] }: Upload): number => (first?.[0] === 0 ? first[1] : 0)

/** Hashes from where the hash stands to `to`. `ImageNotFound` as soon as the file was removed. */
async function hashOn(file: FileHandle, state: Upload, to: number): Promise<void> {
  const buffer = Buffer.alloc(Math.max(0, Math.min(stretch, to - state.hashed)))
  while (state.hashed < to) {
    if ((await file.stat()).nlink === 0) fail('ImageNotFound', { id: 'whose file is being sent' })
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - state.hashed), state.hashed)
    if (bytesRead === 0) throw new Error(`an image file that comes in ends at byte ${state.hashed}, not ${to}`)
    state.hash.update(buffer.subarray(0, bytesRead))
    state.hashed += bytesRead
  }
}

async function writeAll(file: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; )
    done += (await file.write(data, done, data.length - done, at + done)).bytesWritten
}

/** Adds a range to ranges that are in order and apart, in place. */
function add(ranges: Range[], [from, to]: Range): void {
  const before = ranges.filter(([, end]) => end < from)
  const after = ranges.filter(([start]) => start > to)
  const touched = ranges.slice(before.length, ranges.length - after.length)
  const merged: Range = [Math.min(from, ...touched.map(([f]) => f)), Math.max(to, ...touched.map(([, t]) => t))]
  ranges.splice(0, ranges.length, ...before, merged, ...after)
}

/** What of a range is in none of the others. */
function gaps(ranges: readonly Range[], [from, to]: Range): Range[] {
  const missing: Range[] = []
  let at = from
  for (const [start, end] of ranges) {
    if (end <= at || start >= to) continue
    if (start > at) missing.push([at, start])
    at = Math.max(at, end)
  }
  if (at < to) missing.push([at, to])
  return missing
}
