import { createHash, randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { expireImages } from '../../../src/core/conductor/actions/images.ts'
import type { Context } from '../../../src/core/model/context.ts'
import { databases } from '../../kit/databases.ts'
import { qcow2File } from '../../kit/qcow2.ts'
import { admin, member, options, type Rig, rigsOf } from './rig.ts'

const gib = 2 ** 30
const announce = (data: Buffer) => ({
  sizeBytes: data.length,
  sha256: createHash('sha256').update(data).digest('hex'),
})
type Extra = { ctx?: Context; diskFormat?: 'qcow2' | 'raw'; visibility?: 'public' | 'private' }

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)
  const create = (rig: Rig, name: string, file: { sizeBytes: number; sha256: string }, extra: Extra = {}) => {
    const { ctx = admin, diskFormat = 'raw', ...rest } = extra
    return rig.conductor.imageCreate(ctx, { name, diskFormat, files: { disk: file }, ...rest })
  }
  /** Announces an image and sends its disk in one piece. */
  const send = async (rig: Rig, name: string, disk: Buffer, extra: Extra = {}) => {
    const { image, missing } = await create(rig, name, announce(disk), extra)
    const piece = { image: image.id, part: 'disk' as const, offset: 0, data: disk.toString('base64') }
    if (missing.length > 0) await rig.conductor.imageWrite(extra.ctx ?? admin, piece)
    return rig.conductor.imageShow(extra.ctx ?? admin, { image: image.id })
  }

  test('an image that no host would take is refused at once, and leaves neither file nor name', async () => {
    const rig = await start()
    const evil = qcow2File({})
    evil.writeBigUInt64BE(200n, 8)
    await expect(send(rig, 'evil', evil, { diskFormat: 'qcow2' })).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: 'The disk of image "evil" cannot be used: it has a backing file.',
      hint: expect.stringContaining('qemu-img convert'),
    })
    await expect(send(rig, 'evil', evil, { diskFormat: 'raw' })).rejects.toMatchObject({
      message: expect.stringContaining('it is qcow2, not raw'),
    })
    await expect(send(rig, 'evil', Buffer.alloc(600), { diskFormat: 'qcow2' })).rejects.toMatchObject({
      message: expect.stringContaining('not qcow2'),
    })
    expect(await readdir(rig.deps.imageDir, { recursive: true })).toEqual(['incoming'])
    expect(await send(rig, 'evil', qcow2File({}), { diskFormat: 'qcow2' })).toMatchObject({ status: 'active' })
  })

  test('what is there already is looked into as well when it is announced with another format', async () => {
    const rig = await start()
    const disk = qcow2File({})
    await send(rig, 'one', disk, { diskFormat: 'qcow2' })
    await expect(create(rig, 'two', announce(disk), { diskFormat: 'raw' })).rejects.toMatchObject({
      message: expect.stringContaining('it is qcow2, not raw'),
    })
    expect(await create(rig, 'two', announce(disk), { diskFormat: 'qcow2' })).toMatchObject({
      missing: [],
      image: { status: 'active', virtualBytes: gib / 2 },
    })
  })

  test('files larger than any guest could use are refused before anything is sent', async () => {
    const rig = await start()
    const sha256 = 'd'.repeat(64)
    for (const files of [
      { disk: { sizeBytes: Number.MAX_SAFE_INTEGER, sha256 } },
      { kernel: { sizeBytes: 2 * gib, sha256 } },
      { kernel: { sizeBytes: 1, sha256 }, ramdisk: { sizeBytes: 5 * gib, sha256 } },
    ])
      await expect(rig.conductor.imageCreate(admin, { name: 'huge', diskFormat: 'raw', files })).rejects.toMatchObject({
        code: 'InvalidRequest',
        message: expect.stringContaining('too large'),
      })
  })

  describe('how large the guest sees the disk', () => {
    test('is counted where the flavor has no disk of its own', async () => {
      const rig = await start()
      expect(await send(rig, 'big', qcow2File({ virtualBytes: 100 * gib }), { diskFormat: 'qcow2' })).toMatchObject({
        virtualBytes: 100 * gib,
      })
      await rig.conductor.flavorCreate(admin, { name: 'zero', vcpus: 1, memoryMb: 64, diskGb: 0 })
      await rig.conductor.boot(admin, { name: 'web', image: 'big', flavor: 'zero' })
      expect(await rig.conductor.instanceShow(admin, { instance: 'web' })).toMatchObject({ size: { diskGb: 100 } })
    })

    test('must fit into the disk of the flavor, and chooses the flavor if none is said', async () => {
      const rig = await start()
      await send(rig, 'medium', qcow2File({ virtualBytes: 2 * gib + 1 }), { diskFormat: 'qcow2' })
      await expect(
        rig.conductor.boot(admin, { name: 'web', image: 'medium', flavor: 'm1.tiny' }),
      ).rejects.toMatchObject({
        code: 'FlavorTooSmall',
        params: { what: 'disk', needs: 3, has: 1, unit: 'GB' },
      })
      expect(await rig.conductor.boot(admin, { name: 'web', image: 'medium' })).toMatchObject({ flavor: 'm1.small' })
    })

    test('of an image from before is looked at when it is used', async () => {
      const rig = await start()
      const disk = qcow2File({ virtualBytes: 30 * gib })
      const { id } = await send(rig, 'old', disk, { diskFormat: 'qcow2' })
      await rig.db.updateTable('images').set({ virtual_bytes: null }).where('id', '=', id).execute()
      await expect(rig.conductor.boot(admin, { name: 'web', image: 'old', flavor: 'm1.small' })).rejects.toMatchObject({
        code: 'FlavorTooSmall',
      })
      expect(await rig.conductor.imageShow(admin, { image: id })).toMatchObject({ virtualBytes: 30 * gib })
      disk.writeBigUInt64BE(200n, 8)
      await writeFile(join(rig.deps.imageDir, announce(qcow2File({ virtualBytes: 30 * gib })).sha256), disk)
      await rig.db.updateTable('images').set({ virtual_bytes: null }).where('id', '=', id).execute()
      await expect(rig.conductor.boot(admin, { name: 'web', image: 'old' })).rejects.toMatchObject({
        message: expect.stringContaining('it has a backing file'),
      })
    })
  })

  describe('whose an image is', () => {
    const [red, blue] = [member('red'), member('blue')]

    test('a project sees its own and the public ones, and finds its own first', async () => {
      const rig = await start()
      const shown = await send(rig, 'debian', randomBytes(1000), { visibility: 'public' })
      const own = await send(rig, 'debian', randomBytes(1000), { ctx: red })
      expect([shown.visibility, own.visibility, own.projectId]).toEqual(['public', 'private', 'red'])
      const names = async (ctx: Context) =>
        (await rig.conductor.imageList(ctx, {})).images.map(({ id, name }) => (id === own.id ? 'own' : name)).sort()
      expect(await names(red)).toEqual(['debian', 'own', 'tiny'])
      expect(await names(blue)).toEqual(['debian', 'tiny'])
      expect((await rig.conductor.imageShow(red, { image: 'debian' })).id).toBe(own.id)
      expect((await rig.conductor.imageShow(blue, { image: 'debian' })).id).toBe(shown.id)
      await expect(rig.conductor.imageShow(blue, { image: own.id })).rejects.toMatchObject({ code: 'ImageNotFound' })
      await expect(rig.conductor.boot(blue, { name: 'x', image: own.id })).rejects.toMatchObject({
        code: 'ImageNotFound',
      })
      await expect(rig.conductor.imageDelete(blue, { image: 'debian' })).rejects.toMatchObject({ code: 'Forbidden' })
    })

    test('only administrators make one public', async () => {
      const rig = await start()
      await expect(send(rig, 'x', randomBytes(9), { ctx: red, visibility: 'public' })).rejects.toMatchObject({
        code: 'Forbidden',
      })
    })

    test("what others have is nobody's default", async () => {
      const rig = await start()
      await rig.conductor.imageDelete(admin, { image: 'tiny' })
      await send(rig, 'of-red', randomBytes(1000), { ctx: red })
      await expect(rig.conductor.boot(blue, { name: 'x' })).rejects.toMatchObject({
        message: 'There is no image to boot from.',
      })
      expect(await rig.conductor.boot(red, { name: 'x' })).toMatchObject({ image: 'of-red' })
    })

    test('to name the checksum of what others have sent gives nothing, nor does a wrong size', async () => {
      const rig = await start()
      const disk = randomBytes(1000)
      await send(rig, 'secret', disk, { ctx: red })
      expect(await create(rig, 'stolen', announce(disk), { ctx: blue })).toMatchObject({
        missing: ['disk'],
        image: { status: 'queued' },
      })
      expect(await create(rig, 'larger', { ...announce(disk), sizeBytes: 4096 }, { ctx: red })).toMatchObject({
        missing: ['disk'],
      })
      expect(await create(rig, 'again', announce(disk), { ctx: red })).toMatchObject({ missing: [] })
      expect(await send(rig, 'stolen', disk, { ctx: blue })).toMatchObject({ status: 'active' })
      await rig.conductor.imageDelete(red, { image: 'secret' })
      await rig.conductor.imageDelete(red, { image: 'again' })
      expect(await readdir(rig.deps.imageDir)).toContain(announce(disk).sha256)
    })
  })

  test('what nobody goes on sending gives its name and its bytes back after a day', async () => {
    const rig = await start()
    const disk = randomBytes(1000)
    const { image } = await create(rig, 'half', announce(disk))
    const data = disk.subarray(0, 500).toString('base64')
    await rig.conductor.imageWrite(admin, { image: image.id, part: 'disk', offset: 0, data })
    const now = rig.clock.now()
    await rig.db
      .updateTable('images')
      .set({ created_at: now - 1000 })
      .where('id', '=', image.id)
      .execute()
    await expireImages(rig.deps, now - 500)
    expect(await rig.conductor.imageShow(admin, { image: 'half' })).toMatchObject({ status: 'saving' })
    await expireImages(rig.deps, rig.clock.now() + 5000)
    await expect(rig.conductor.imageShow(admin, { image: 'half' })).rejects.toMatchObject({ code: 'ImageNotFound' })
    expect(await readdir(rig.deps.imageDir, { recursive: true })).toEqual(['incoming'])
    expect(await rig.conductor.imageShow(admin, { image: 'tiny' })).toMatchObject({ status: 'active' })
  })

  test('image files are counted against the quota of their project', async () => {
    const rig = await start({ quota: { ...options.quota, imageSizeTotal: 2 } })
    const red = member('red')
    await create(rig, 'one', announce(Buffer.alloc(1 << 20)), { ctx: red })
    const over = announce(Buffer.alloc((1 << 20) + 1))
    await expect(create(rig, 'two', over, { ctx: red })).rejects.toMatchObject({
      code: 'QuotaExceeded',
      params: { resource: 'image_size_total', limit: 2, used: 1, wanted: 2, project: 'red' },
    })
    expect(await create(rig, 'one', announce(Buffer.alloc(1 << 20)), { ctx: red })).toMatchObject({ missing: ['disk'] })
    await rig.conductor.quotaSet(admin, { project: 'red', limits: { image_size_total: 3 } })
    expect(await create(rig, 'two', over, { ctx: red })).toMatchObject({ missing: ['disk'] })
  })

  test.runIf(database.name === 'sqlite')('an image is deleted where the database has no room left', async () => {
    const rig = await start()
    const disk = randomBytes(1000)
    await send(rig, 'fill', disk)
    let attempts = 0
    const full = Object.assign(new Error('database or disk is full'), { errcode: 13 })
    const isThere = async () => (await readdir(rig.deps.imageDir)).includes(announce(disk).sha256)
    const { db } = rig.deps
    const transaction = db.transaction.bind(db)
    Object.assign(db, {
      transaction: () => {
        attempts++
        return isFull() ? { execute: () => Promise.reject(full) } : transaction()
      },
    })
    const isFull = () => attempts === 1
    await sql`select 1`.execute(db)
    await rig.conductor.imageDelete(admin, { image: 'fill' })
    expect([await isThere(), attempts > 1]).toEqual([false, true])
  })
})
