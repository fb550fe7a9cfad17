import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { completeUpload, hasFile, writePiece } from '../../../src/core/conductor/files.ts'

const piece = 4096
const content = randomBytes(16 * piece)
const announced = {
  image: 'tiny',
  sha256: createHash('sha256').update(content).digest('hex'),
  sizeBytes: content.length,
}
const offsets = Array.from({ length: 16 }, (_, i) => i * piece)

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nova-files-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const send = (offset: number) => writePiece(dir, 'upload', offset, content.subarray(offset, offset + piece))

test.each([1, 2, 3, 4, 5])(
  'pieces that come at the same time, the first of all among them, do not cut one another (%i)',
  async () => {
    await Promise.all(offsets.map(send))
    await completeUpload(dir, 'upload', announced)
    expect(readFileSync(join(dir, announced.sha256)).equals(content)).toBe(true)
  },
)

test.each([1, 2, 3, 4, 5])('two senders of one file may both bring its last piece (%i)', async () => {
  await Promise.all([...offsets, ...offsets].map(send))
  await Promise.all([1, 2, 3].map(() => completeUpload(dir, 'upload', announced)))
  await writePiece(dir, 'upload', 0, content.subarray(0, piece))
  await completeUpload(dir, 'upload', announced)
  expect(await hasFile(dir, announced.sha256)).toBe(true)
})

test('what is not what was announced is refused, and gone', async () => {
  await send(0)
  await expect(completeUpload(dir, 'upload', announced)).rejects.toMatchObject({ code: 'ImageCorrupt' })
  expect(await hasFile(dir, announced.sha256)).toBe(false)
  await expect(completeUpload(dir, 'upload', announced)).rejects.toMatchObject({ code: 'ENOENT' })
})
