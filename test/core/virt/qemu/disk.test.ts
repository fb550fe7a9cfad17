import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { exec } from '../../../../src/core/base/exec.ts'
import { createDisk } from '../../../../src/core/virt/qemu/disk.ts'
import { ImageChecks } from '../../../../src/core/virt/qemu/image-check.ts'
import { QemuImg } from '../../../../src/core/virt/qemu/qemu-img.ts'
import { GuestUsers } from '../../../../src/core/virt/qemu/users.ts'
import { qemu } from '../../../kit/qemu.ts'
import { guestUids } from '../harness.ts'

let dir: string
let disk: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nova-disk-'))
  disk = join(dir, 'disk.qcow2')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const gib = 2 ** 30
const tools = (binary = 'qemu-img') => {
  const qemuImg = new QemuImg(binary, { users: new GuestUsers(dir, guestUids) })
  return { qemuImg, checks: new ImageChecks(qemuImg) }
}
const noImage = { disk: undefined, kernel: '/k', ramdisk: undefined }

/** The first bytes of a qcow2 file. */
function header(change: {
  backing?: bigint
  incompatible?: bigint
  bytes?: number
  magic?: string
  entries?: number
}): Buffer {
  const out = Buffer.alloc(104)
  out.write(change.magic ?? 'QFI\xfb', 'latin1')
  out.writeUInt32BE(3, 4)
  out.writeBigUInt64BE(change.backing ?? 0n, 8)
  out.writeUInt32BE(16, 20)
  out.writeBigUInt64BE(BigInt(change.bytes ?? gib), 24)
  out.writeUInt32BE(change.entries ?? 2, 36)
  out.writeBigUInt64BE(change.incompatible ?? 0n, 72)
  return out
}
async function image(bytes: Buffer, format: 'qcow2' | 'raw' = 'qcow2') {
  const path = join(dir, 'image')
  await writeFile(path, bytes)
  return { ...noImage, disk: { path, format } }
}

describe('an image is refused', () => {
  const cases: Array<[string, Buffer, RegExp]> = [
    ['that names a backing file of this host', header({ backing: 112n }), /cannot be used: it has a backing file/],
    [
      'that keeps its data in another file',
      header({ incompatible: 4n }),
      /cannot be used: it keeps its data elsewhere/,
    ],
    ['that is not qcow2', header({ magic: 'MBR ' }), /cannot be used: it is not qcow2/],
    ['whose table is larger than its size needs', header({ entries: 3 }), /cannot be used: its L1 table is larger/],
    ["that is larger than the flavor's disk", header({ bytes: 3 * gib }), /has 3\.0 GiB, the flavor only 2/],
  ]
  test.each(cases)('%s', async (_what, bytes, why) => {
    await expect(createDisk(tools('/no/such/qemu-img'), disk, await image(bytes), 2)).rejects.toThrow(why)
    expect(await readdir(dir)).toEqual(['image'])
  })
})

test('an image without a disk gives none where the flavor has none', async () => {
  await createDisk(tools('/no/such/qemu-img'), disk, noImage, 0)
  expect(await readdir(dir)).toEqual([])
})

test('a disk that is there is kept', async () => {
  await writeFile(disk, 'data of the guest')
  await createDisk(tools('/no/such/qemu-img'), disk, await image(header({})), 2)
  expect(await readFile(disk, 'utf8')).toBe('data of the guest')
})

test('qemu-img that is not there is an error', async () => {
  await expect(createDisk(tools('/no/such/qemu-img'), disk, noImage, 1)).rejects.toThrow(/no\/such\/qemu-img/)
})

describe.runIf(await qemu())('with qemu-img', () => {
  const info = async () => JSON.parse((await exec('qemu-img', ['info', '--output=json', disk])).stdout)

  test('an overlay of the image, as large as the flavor says', async () => {
    const path = join(dir, 'base.qcow2')
    await exec('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1G'])
    await createDisk(tools(), disk, { ...noImage, disk: { path, format: 'qcow2' } }, 2)
    expect(await info()).toMatchObject({
      'virtual-size': 2 * gib,
      format: 'qcow2',
      'backing-filename': path,
      'backing-filename-format': 'qcow2',
    })
  })

  test('an image that is cut off is refused, although its header is whole', async () => {
    const raw = join(dir, 'raw')
    const path = join(dir, 'base.qcow2')
    await writeFile(raw, Buffer.alloc(1 << 20, 7))
    await exec('qemu-img', ['convert', '-O', 'qcow2', raw, path])
    await truncate(path, 600_000)
    const made = createDisk(tools(), disk, { ...noImage, disk: { path, format: 'qcow2' } }, 2)
    await expect(made).rejects.toThrow(/cannot be used: it is damaged or cut off/)
    expect(await readdir(dir)).not.toContain('disk.qcow2')
  })

  test('as large as the image where the flavor says nothing', async () => {
    await createDisk(tools(), disk, await image(Buffer.alloc(1 << 20), 'raw'), 0)
    expect(await info()).toMatchObject({ 'virtual-size': 1 << 20, 'backing-filename-format': 'raw' })
  })

  test('an empty disk where the image has none and the flavor has one', async () => {
    await createDisk(tools(), disk, noImage, 1)
    expect(await info()).toMatchObject({ 'virtual-size': gib })
    expect(await info()).not.toHaveProperty('backing-filename')
  })
})
