import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isFailure } from '../../../../src/core/base/errors.ts'
import { exec } from '../../../../src/core/base/exec.ts'
import type { DiskReader, DiskWriter, Driver, ImageFiles } from '../../../../src/core/virt/driver.ts'
import { blockBytes, bundleHead, newBundle } from '../../../../src/core/virt/qemu/bundle.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { aGuest, harnesses, open } from '../harness.ts'

const onQemu = harnesses.filter(({ name }) => name === 'qemu')
const mib = 1 << 20

const ok = async (program: string, ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await exec(program, args)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
  return stdout
}

describe.each(onQemu)('a disk of $name that moves', (harness) => {
  let root: string
  let from: Driver
  let to: Driver
  const guest = aGuest({ size: { vcpus: 1, memoryMb: 128, diskGb: 1 } })
  const next = { ...guest, generation: 2 }
  const host = (name: string) => join(root, name)
  const disk = (name: string) => guestPaths(host(name), guest.id).disk
  /** The image as each host has it in its own cache. */
  const image = (name: string): ImageFiles => ({
    disk: { path: join(host(name), 'image'), format: 'raw' },
    kernel: undefined,
    ramdisk: undefined,
  })

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'nova-moving-'))
    for (const name of ['from', 'to']) {
      await mkdir(host(name))
      await writeFile(join(host(name), 'image'), Buffer.alloc(4 * mib, 'image '))
    }
    from = await open(harness, host('from'))
    to = await open(harness, host('to'))
    await from.createDisk(guest, image('from'))
  })
  afterEach(async () => {
    await from.close()
    await to.close()
    await rm(root, { recursive: true, force: true })
  })

  const copy = async (reader: DiskReader, writer: DiskWriter): Promise<number> => {
    let sent = 0
    for await (const { offset, data } of reader.extents()) {
      sent += data.length
      await writer.write(offset, data)
    }
    return sent
  }
  const refused = (why: RegExp) => expect.toSatisfy((e: unknown) => isFailure(e, 'DriverFailed') && why.test(e.message))

  test('takes the end of a console along, however large a guest that broke out has made the file', async () => {
    const { console } = guestPaths(host('from'), guest.id)
    await truncate(disk('from'), 0)
    await writeFile(console, '')
    await truncate(console, 2 ** 42)
    const reader = await from.exportDisk(guest.id)
    expect(reader.lengthBytes).toBeLessThan(3 * mib)
    await reader.close()
  })

  test('arrives bit for bit on the image of the other host, without its empty parts', async () => {
    await ok(
      'qemu-io',
      '-c',
      'write -P 7 100M 3M',
      '-c',
      'write -z 200M 8M',
      '-c',
      'write -P 9 1000M 64k',
      disk('from'),
    )
    await truncate(disk('from'), (await stat(disk('from'))).size + 64 * mib)
    const reader = await from.exportDisk(guest.id)
    const writer = await to.importDisk(next, image('to'))
    const sent = await copy(reader, writer)
    await writer.complete(reader.lengthBytes)
    await reader.close()
    expect(reader.lengthBytes).toBeGreaterThan(64 * mib)
    expect(sent).toBeLessThan(8 * mib)
    expect(Math.abs(reader.sizeBytes - sent)).toBeLessThan(mib)
    expect(await to.power(guest.id)).toBe('SHUTDOWN')
    expect(JSON.parse(await ok('qemu-img', 'info', '--output=json', disk('to')))).toMatchObject({
      'backing-filename': join(host('to'), 'image'),
      'backing-filename-format': 'raw',
      'virtual-size': 2 ** 30,
    })
    expect(await ok('qemu-img', 'compare', disk('from'), disk('to'))).toContain('Images are identical')
    expect((await stat(disk('to'))).blocks * 512).toBeLessThan(10 * mib)
    expect((await stat(disk('to'))).mode & 0o777).toBe(0o600)
    expect((await readdir(guestPaths(host('to'), guest.id).dir)).sort()).toEqual(['disk.qcow2', 'guest.json'])
  })

  test('never opens the file that it names as its backing file, and is put on the image', async () => {
    const secret = join(root, 'secret')
    await writeFile(secret, Buffer.alloc(mib, 'secret '))
    await ok('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', secret, '-F', 'raw', disk('from'))
    const reader = await from.exportDisk(guest.id)
    await rm(secret)
    const writer = await to.importDisk(next, image('to'))
    await copy(reader, writer)
    await writer.complete(reader.lengthBytes)
    await reader.close()
    expect(await ok('qemu-io', '-r', '-c', 'read -P 105 0 1', disk('to'))).not.toContain('failed')
    const told = JSON.parse(await ok('qemu-img', 'info', '--output=json', disk('to')))
    expect(told['full-backing-filename']).toBe(join(host('to'), 'image'))
  })

  const damages: Array<[string, (path: string) => Promise<unknown>, RegExp]> = [
    ['is no qcow2', (path) => writeFile(path, Buffer.alloc(mib, 1)), /it is not qcow2/],
    [
      'keeps its data in another file',
      async (path) => {
        await rm(path)
        await ok('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${path}.raw`, path, '1G')
      },
      /it keeps its data elsewhere/,
    ],
    [
      'is cut off',
      async (path) => {
        await ok('qemu-io', '-c', 'write -P 7 100M 3M', path)
        await truncate(path, mib)
      },
      /its disk cannot be used: it is damaged or cut off/,
    ],
  ]
  test.each(damages)('is refused if it %s', async (_what, damage, why) => {
    await damage(disk('from'))
    const reader = await from.exportDisk(guest.id)
    const writer = await to.importDisk(next, image('to'))
    await copy(reader, writer)
    await expect(writer.complete(reader.lengthBytes)).rejects.toEqual(refused(why))
    await reader.close()
    expect(await to.power(guest.id)).toBe('NOSTATE')
    await writer.abort()
    expect(existsSync(guestPaths(host('to'), guest.id).dir)).toBe(false)
  })

  test('is refused if the other host does not have the image', async () => {
    await rm(join(host('to'), 'image'))
    const reader = await from.exportDisk(guest.id)
    const writer = await to.importDisk(next, image('to'))
    await copy(reader, writer)
    await expect(writer.complete(reader.lengthBytes)).rejects.toEqual(refused(/its image is not on this host/))
    await reader.close()
  })

  test('is not read on if it changes meanwhile', async () => {
    const reader = await from.exportDisk(guest.id)
    await utimes(disk('from'), 1, 1)
    const writer = await to.importDisk(next, image('to'))
    await expect(copy(reader, writer)).rejects.toThrow(/its disk was changed while it was read/)
    await writer.abort()
    await reader.close()
  })

  const lies: Array<[string, (writer: DiskWriter) => Promise<void>, RegExp]> = [
    ['no list of files', (writer) => writer.write(0, Buffer.alloc(blockBytes)), /begins with no list/],
    ['a list that comes late', (writer) => writer.write(blockBytes, Buffer.alloc(blockBytes)), /does not begin with/],
    [
      'more than was listed',
      async (writer) => {
        await writer.write(0, bundleHead(newBundle([{ name: 'disk', bytes: 10 }], 10)))
        await writer.write(blockBytes, Buffer.alloc(11))
      },
      /lies outside of the files/,
    ],
    [
      'more than there is room for',
      (writer) => writer.write(0, bundleHead(newBundle([{ name: 'disk', bytes: 2 ** 52 }], 2 ** 52))),
      /4194304\.0 GiB free disk needed/,
    ],
    [
      'no disk',
      async (writer) => {
        const bundle = newBundle([{ name: 'console', bytes: 10 }], 10)
        await writer.write(0, bundleHead(bundle))
        await writer.complete(bundle.lengthBytes)
      },
      /it came without its disk/,
    ],
    ['nothing', (writer) => writer.complete(0), /it came without its disk/],
  ]
  test.each(lies)('is refused if there comes %s', async (_what, lie, why) => {
    const writer = await to.importDisk(next, image('to'))
    await expect(lie(writer)).rejects.toEqual(refused(why))
    await writer.abort()
    expect(await readdir(join(host('to'), 'instances'))).toEqual([])
  })

  test('leaves nothing if the daemon ends before all of it came', async () => {
    const reader = await from.exportDisk(guest.id)
    await copy(reader, await to.importDisk(next, image('to')))
    await reader.close()
    await to.close()
    to = await open(harness, host('to'))
    expect(await readdir(join(host('to'), 'instances'))).toEqual([])
  })

  test('replaces the disk that an older owner left on the host', async () => {
    await to.createDisk(guest, image('to'))
    await ok('qemu-io', '-c', 'write -P 1 0 1M', disk('to'))
    const reader = await from.exportDisk(guest.id)
    const writer = await to.importDisk(next, image('to'))
    await copy(reader, writer)
    await writer.complete(reader.lengthBytes)
    await reader.close()
    expect(await ok('qemu-img', 'compare', disk('from'), disk('to'))).toContain('Images are identical')
    expect(JSON.parse(await readFile(guestPaths(host('to'), guest.id).record, 'utf8'))).toMatchObject({
      guest: { generation: 2 },
    })
  })
})
