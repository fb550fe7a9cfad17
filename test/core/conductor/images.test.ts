import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { systemIds } from '../../../src/core/base/ids.ts'
import { removeFile } from '../../../src/core/conductor/files.ts'
import type { ImagePart } from '../../../src/core/contracts/shapes.ts'
import { tx } from '../../../src/core/db/tx.ts'
import {
  addImage,
  completeFile,
  lockFiles,
  lockOwnFiles,
  removeImage,
  resolveImage,
} from '../../../src/core/store/images.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, type Rig, rigsOf } from './rig.ts'

const announce = (data: Buffer) => ({
  sizeBytes: data.length,
  sha256: createHash('sha256').update(data).digest('hex'),
})

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)
  const write = (rig: Rig, image: string, part: ImagePart, data: Buffer, offset: number, ctx = admin) =>
    rig.conductor.imageWrite(ctx, { image, part, offset, data: data.toString('base64') })
  const stored = async (rig: Rig) => (await readdir(rig.deps.imageDir, { recursive: true })).sort()

  test('an image comes in pieces, is checked, and is read by hosts', async () => {
    const rig = await start()
    const [disk, kernel] = [randomBytes(100_000), randomBytes(3000)]
    const { image, missing } = await rig.conductor.imageCreate(admin, {
      name: 'debian',
      diskFormat: 'raw',
      files: { disk: announce(disk), kernel: announce(kernel) },
      minDiskGb: 2,
      metadata: { os: 'linux' },
    })
    expect([image.status, missing]).toEqual(['queued', ['disk', 'kernel']])
    expect(await write(rig, image.id, 'disk', disk.subarray(0, 60_000), 0)).toEqual({ status: 'saving' })
    expect(await write(rig, image.id, 'disk', disk.subarray(0, 60_000), 0)).toEqual({ status: 'saving' })
    expect(await write(rig, image.id, 'disk', disk.subarray(60_000), 60_000)).toEqual({ status: 'saving' })
    expect(await write(rig, image.id, 'kernel', kernel, 0)).toEqual({ status: 'active' })
    expect(await write(rig, image.id, 'kernel', kernel, 0)).toEqual({ status: 'active' })
    expect(await rig.conductor.imageShow(admin, { image: 'debian' })).toMatchObject({
      status: 'active',
      sizeBytes: 103_000,
      minDiskGb: 2,
      metadata: { os: 'linux' },
      files: { kernel: announce(kernel) },
    })
    const read = async (offset: number, length: number) =>
      Buffer.from(
        (await rig.computeAgent.imageRead(admin, { image: image.id, part: 'disk', offset, length })).data,
        'base64',
      )
    expect(Buffer.concat([await read(0, 70_000), await read(70_000, 70_000)])).toEqual(disk)
    expect(await read(100_000, 10)).toHaveLength(0)
    await expect(
      rig.computeAgent.imageRead(admin, { image: image.id, part: 'ramdisk', offset: 0, length: 1 }),
    ).rejects.toMatchObject({ code: 'ImageNotFound' })
  })

  test('a file that is not what was announced is refused, and can be sent again', async () => {
    const rig = await start()
    const disk = randomBytes(1000)
    const { image } = await rig.conductor.imageCreate(admin, {
      name: 'debian',
      diskFormat: 'raw',
      files: { disk: announce(disk) },
    })
    await expect(write(rig, image.id, 'disk', randomBytes(1000), 0)).rejects.toMatchObject({ code: 'ImageCorrupt' })
    expect(await stored(rig)).toEqual(['incoming'])
    await expect(write(rig, image.id, 'disk', disk, 1)).rejects.toMatchObject({ code: 'InvalidRequest' })
    await expect(write(rig, image.id, 'kernel', disk, 0)).rejects.toMatchObject({ code: 'InvalidRequest' })
    await expect(write(rig, image.id, 'disk', disk, 0, member('p2'))).rejects.toMatchObject({ code: 'ImageNotFound' })
    expect(await write(rig, image.id, 'disk', disk, 0)).toEqual({ status: 'active' })
  })

  test('equal files are stored once, and stay until the last image goes', async () => {
    const rig = await start()
    const disk = randomBytes(1000)
    const request = (name: string) => ({ name, diskFormat: 'raw' as const, files: { disk: announce(disk) } })
    const { image } = await rig.conductor.imageCreate(admin, request('one'))
    await write(rig, image.id, 'disk', disk, 0)
    expect(await rig.conductor.imageCreate(admin, request('two'))).toMatchObject({
      image: { status: 'active' },
      missing: [],
    })
    expect(await stored(rig)).toEqual([announce(disk).sha256, 'incoming'])
    await rig.conductor.imageDelete(admin, { image: 'one' })
    expect(await stored(rig)).toEqual([announce(disk).sha256, 'incoming'])
    await expect(rig.conductor.imageDelete(member('p2'), { image: 'two' })).rejects.toMatchObject({
      code: 'ImageNotFound',
    })
    await rig.conductor.imageDelete(admin, { image: 'two' })
    expect(await stored(rig)).toEqual(['incoming'])
    await expect(rig.conductor.imageShow(admin, { image: 'two' })).rejects.toMatchObject({ code: 'ImageNotFound' })
  })

  describe('an image is never active without its file', () => {
    const disk = randomBytes(1000)
    const request = (name: string) => ({ name, diskFormat: 'raw' as const, files: { disk: announce(disk) } })
    const withOne = async () => {
      const rig = await start()
      const { image } = await rig.conductor.imageCreate(admin, request('one'))
      await write(rig, image.id, 'disk', disk, 0)
      return { rig, one: image.id }
    }
    /** Whether something that was asked for has not ended while the database did this and that. */
    const waits = async (rig: Rig, asked: Promise<unknown>): Promise<boolean> => {
      let over = false
      const ended = () => {
        over = true
      }
      asked.then(ended, ended)
      await rig.clock.sleep(200)
      return !over
    }

    test('one that is announced while the last with its content is deleted finds no file', async () => {
      const { rig, one } = await withOne()
      let created: ReturnType<typeof rig.conductor.imageCreate> | undefined
      await tx(rig.db, async (db) => {
        expect(await lockOwnFiles(db, one)).toEqual([announce(disk).sha256])
        created = rig.conductor.imageCreate(admin, request('two'))
        expect(await waits(rig, created)).toBe(true)
        await removeFile(rig.deps.imageDir, announce(disk).sha256)
        await removeImage(db, one)
      })
      expect(await created).toMatchObject({ image: { status: 'queued' }, missing: ['disk'] })
    })

    test('one that has found the file keeps it, though the other is deleted', async () => {
      const { rig, one } = await withOne()
      const two = {
        ...(await resolveImage(rig.db, one, { projectId: 'p1', all: true })),
        id: systemIds.uuid(),
        name: 'two',
      }
      let deleted: ReturnType<typeof rig.conductor.imageDelete> | undefined
      await tx(rig.db, async (db) => {
        await lockFiles(db, [announce(disk).sha256])
        deleted = rig.conductor.imageDelete(admin, { image: 'one' })
        expect(await waits(rig, deleted)).toBe(true)
        await addImage(db, two)
      })
      expect(await deleted).toMatchObject({ name: 'one' })
      expect(await stored(rig)).toContain(announce(disk).sha256)
      expect(await rig.conductor.imageShow(admin, { image: 'two' })).toMatchObject({ status: 'active' })
    })

    test('however the two meet', async () => {
      const { rig } = await withOne()
      let last = 'one'
      for (let round = 0; round < 15; round++) {
        const next = `image-${round}`
        const [created] = await Promise.all([
          rig.conductor.imageCreate(admin, request(next)),
          rig.conductor.imageDelete(admin, { image: last }),
        ])
        const { image, missing } = created
        // A file that was kept only because this image was announced is sent again all the same: nobody had it just then.
        if (image.status === 'active') expect(await stored(rig)).toContain(announce(disk).sha256)
        else await write(rig, image.id, 'disk', disk, 0)
        expect([image.status, missing]).toEqual(image.status === 'active' ? ['active', []] : ['queued', ['disk']])
        expect(await rig.conductor.imageShow(admin, { image: next })).toMatchObject({ status: 'active' })
        expect(await stored(rig)).toContain(announce(disk).sha256)
        last = next
      }
    })

    test('an upload whose image is deleted meanwhile ends in ImageNotFound', async () => {
      const rig = await start()
      const { image } = await rig.conductor.imageCreate(admin, request('one'))
      expect(await tx(rig.db, (db) => removeImage(db, image.id).then(() => completeFile(db, image.id, 'disk')))).toBe(
        undefined,
      )
    })
  })

  test('an upload that broke off goes on with the same announcement; another of that name is refused', async () => {
    const rig = await start()
    const disk = randomBytes(1000)
    const request = { name: 'debian', diskFormat: 'raw' as const, files: { disk: announce(disk) } }
    const { image } = await rig.conductor.imageCreate(admin, request)
    await write(rig, image.id, 'disk', disk.subarray(0, 500), 0)
    const again = await rig.conductor.imageCreate(admin, request)
    expect(again).toMatchObject({ image: { id: image.id }, missing: ['disk'] })
    const other = { ...request, files: { disk: announce(randomBytes(5)) } }
    await expect(rig.conductor.imageCreate(admin, other)).rejects.toMatchObject({ code: 'ImageExists' })
    await write(rig, image.id, 'disk', disk, 0)
    await expect(rig.conductor.imageCreate(admin, request)).rejects.toMatchObject({ code: 'ImageExists' })
  })

  test('what could never boot is refused', async () => {
    const rig = await start()
    const file = announce(randomBytes(5))
    for (const request of [
      { files: {} },
      { files: { ramdisk: file } },
      { files: { disk: file } },
      { diskFormat: 'raw' as const, files: { disk: file, ramdisk: file } },
      { files: { kernel: announce(Buffer.alloc(0)) } },
    ])
      await expect(rig.conductor.imageCreate(admin, { name: 'x', ...request })).rejects.toMatchObject({
        code: 'InvalidRequest',
      })
  })

  test('events of its deletion name the image, so that its operation can be followed', async () => {
    const rig = await start()
    await rig.host('h1')
    const { id } = await rig.conductor.imageDelete(admin, { image: 'tiny' })
    const [begun] = rig.published.map(({ body }) => body).filter(({ operation }) => operation?.kind === 'delete-image')
    expect(begun).toMatchObject({ type: 'image.delete.start', subject: { kind: 'image', id, name: 'tiny' } })
    expect(begun).not.toHaveProperty('instanceId')
  })

  test('a deletion that is asked for again under its key is the same one, at the same moment or after it', async () => {
    const rig = await start()
    await rig.host('h1')
    const ask = (image: string, idempotencyKey?: string) =>
      rig.conductor.imageDelete(admin, { image, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) })
    const [one, other] = await Promise.all([ask('tiny', 'key'), ask('tiny', 'key')])
    expect(other).toEqual(one)
    expect(await ask('tiny', 'key')).toEqual(one)
    expect(await ask(one.id, 'key')).toEqual(one)
    const { operations } = await rig.conductor.operationList(admin, {})
    expect(operations.filter(({ kind }) => kind === 'delete-image')).toHaveLength(1)
    await expect(ask('tiny', 'another key')).rejects.toMatchObject({ code: 'ImageNotFound' })
    await expect(ask('tiny')).rejects.toMatchObject({ code: 'ImageNotFound' })
    await expect(ask('another', 'key')).rejects.toMatchObject({ code: 'InvalidRequest' })
  })

  test('an image that two requests delete at the same moment is gone, and one of them hears so', async () => {
    const rig = await start()
    const both = [0, 1].map(() => rig.conductor.imageDelete(admin, { image: 'tiny' }).catch((e) => e.code))
    expect((await Promise.all(both)).sort((a) => (a === 'ImageNotFound' ? 1 : -1))).toMatchObject([
      { name: 'tiny' },
      'ImageNotFound',
    ])
  })

  test('an image that is gone is not missed by what runs', async () => {
    const rig = await start()
    const h1 = await rig.host('h1')
    await rig.running(h1)
    await rig.conductor.imageDelete(admin, { image: 'tiny' })
    const { operation } = await rig.conductor.begin(admin, { instance: 'web', kind: 'pause' })
    const work = await h1.claim(operation)
    expect(work.image).toBeUndefined()
  })
})
