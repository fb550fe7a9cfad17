import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hasFile } from '../../../src/core/conductor/files.ts'
import { Uploads } from '../../../src/core/conductor/uploads.ts'

const piece = 4096
const content = randomBytes(16 * piece)
const announced = {
  image: 'tiny',
  sha256: createHash('sha256').update(content).digest('hex'),
  sizeBytes: content.length,
  check: async () => {},
}
const offsets = Array.from({ length: 16 }, (_, i) => i * piece)

let dir: string
let uploads: Uploads
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nova-uploads-'))
  uploads = new Uploads(dir, 0)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const send = (offset: number, to = uploads, data = content) =>
  to.write('upload', announced, offset, data.subarray(offset, offset + piece))
const stored = () => readFileSync(join(dir, announced.sha256)).equals(content)

test('pieces that come at the same time, the first of all among them, make one file, and all that is left is the file', async () => {
  const done = await Promise.all(offsets.map((offset) => send(offset)))
  expect(done.filter(Boolean)).toHaveLength(1)
  expect(stored()).toBe(true)
  expect(readdirSync(join(dir, 'incoming'))).toEqual([])
})

test('in whatever order they come, the last to come completes the file', async () => {
  const shuffled = [...offsets].sort((a, b) => ((a * 7) % 65_537) - ((b * 7) % 65_537))
  for (const offset of shuffled.slice(1)) expect(await send(offset)).toBe(false)
  expect(await send(shuffled[0] as number)).toBe(true)
  expect(stored()).toBe(true)
})

test('two senders of one file may both bring its last piece; the content is looked into once', async () => {
  let looks = 0
  const counted = { ...announced, check: async () => void looks++ }
  await Promise.all(offsets.slice(0, -1).map((offset) => send(offset)))
  const last = content.length - piece
  const bring = () => uploads.write('upload', counted, last, content.subarray(last))
  expect(await Promise.all([bring(), bring(), bring()])).toEqual([true, true, true])
  expect(looks).toBe(1)
  expect(await bring()).toBe(true)
  expect(await hasFile(dir, announced)).toBe(true)
})

test('conductors that share the directory take pieces of one file in turn', async () => {
  const other = new Uploads(dir, 0)
  const done: boolean[] = []
  for (const [i, offset] of offsets.entries()) done.push(await send(offset, i % 2 === 0 ? uploads : other))
  expect(done.at(-1)).toBe(true)
  expect(stored()).toBe(true)
})

test('a last piece alone completes nothing', async () => {
  const huge = { ...announced, sizeBytes: 40 * 2 ** 20 }
  expect(await uploads.write('upload', huge, huge.sizeBytes - piece, content.subarray(0, piece))).toBe(false)
  expect(await hasFile(dir, huge)).toBe(false)
})

test('a piece far ahead of what has come makes no hole: it is refused', async () => {
  const huge = { ...announced, sizeBytes: 40 * 2 ** 30 }
  await expect(uploads.write('upload', huge, huge.sizeBytes - 1, Buffer.from('x'))).rejects.toMatchObject({
    code: 'InvalidRequest',
    message: expect.stringContaining('too early: the bytes from 0 on are missing'),
  })
})

test('bytes that have come are not written again: nobody changes them after they were hashed', async () => {
  const forged = Buffer.alloc(content.length, 'forged')
  for (const offset of offsets) {
    const done = await send(offset)
    if (!done) await send(offset, uploads, forged)
  }
  expect(stored()).toBe(true)
})

test('what is not what was announced is refused, and can be sent again', async () => {
  for (const offset of offsets.slice(0, -1)) await send(offset)
  await expect(send(content.length - piece, uploads, Buffer.alloc(content.length))).rejects.toMatchObject({
    code: 'ImageCorrupt',
  })
  expect(await hasFile(dir, announced)).toBe(false)
  for (const offset of offsets) await send(offset)
  expect(stored()).toBe(true)
})

test('what is refused when it is looked into is never stored', async () => {
  const refused = { ...announced, check: () => Promise.reject(new Error('no disk')) }
  for (const offset of offsets.slice(0, -1)) await send(offset)
  const last = content.length - piece
  await expect(uploads.write('upload', refused, last, content.subarray(last))).rejects.toThrow('no disk')
  expect(readdirSync(dir)).toEqual(['incoming'])
})

test('a file whose image is deleted is not checked on, and is gone', async () => {
  for (const offset of offsets.slice(0, -1)) await send(offset)
  await uploads.drop('upload')
  expect(readdirSync(join(dir, 'incoming'))).toEqual([])
  expect(await send(content.length - piece)).toBe(false)
})

test('the reserve stays free, at the announcement and at each piece', async () => {
  const { bavail, bsize } = await statfs(dir)
  const careful = new Uploads(dir, bavail * bsize * 2)
  await expect(careful.checkRoom(1)).rejects.toMatchObject({
    code: 'InvalidRequest',
    message: expect.stringContaining('1 MiB needed, 0 MiB free beside the reserve'),
  })
  await expect(send(0, careful)).rejects.toMatchObject({ code: 'InvalidRequest' })
  await expect(uploads.checkRoom(bavail * bsize * 2)).rejects.toMatchObject({ code: 'InvalidRequest' })
  await uploads.checkRoom(1)
})
