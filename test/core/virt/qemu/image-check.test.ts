import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { exec } from '../../../../src/core/base/exec.ts'
import { checkImage } from '../../../../src/core/virt/qemu/disk.ts'
import { ImageChecks } from '../../../../src/core/virt/qemu/image-check.ts'
import { QemuImg } from '../../../../src/core/virt/qemu/qemu-img.ts'
import { GuestUsers } from '../../../../src/core/virt/qemu/users.ts'
import { qemu } from '../../../kit/qemu.ts'
import { guestUids } from '../harness.ts'

let dir: string
let path: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nova-check-'))
  path = join(dir, 'image')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const cluster = 1 << 16
const u64s = (count: number, value: number) => {
  const out = Buffer.alloc(count * 8)
  for (let i = 0; i < count; i++) out.writeBigUInt64BE(BigInt(value), i * 8)
  return out
}

/**
 * A qcow2 file of 32 MiB whose check takes minutes: each of the 4 Mi entries of its L1 table names the same full L2 table.
 * Clusters: 0 header, 1 refcount table, 2 refcount block, 3 L2, 4 data, 5… L1.
 */
async function costlyImage(virtualBytes: number): Promise<void> {
  const entries = (32 << 20) / 8
  const header = Buffer.alloc(104)
  header.write('QFI\xfb', 'latin1')
  header.writeUInt32BE(3, 4)
  header.writeUInt32BE(16, 20)
  header.writeBigUInt64BE(BigInt(virtualBytes), 24)
  header.writeUInt32BE(entries, 36)
  header.writeBigUInt64BE(BigInt(5 * cluster), 40)
  header.writeBigUInt64BE(BigInt(cluster), 48)
  header.writeUInt32BE(1, 56)
  header.writeUInt32BE(6, 96)
  header.writeUInt32BE(104, 100)
  const file = await open(path, 'w', 0o644)
  await file.write(header, 0, header.length, 0)
  await file.write(u64s(1, 2 * cluster), 0, 8, cluster)
  await file.write(u64s(517, 1), 0, 517 * 8, 2 * cluster)
  await file.write(u64s(8192, 4 * cluster), 0, 8192 * 8, 3 * cluster)
  const table = u64s(entries, 3 * cluster)
  await file.write(table, 0, table.length, 5 * cluster)
  await file.close()
}

const users = () => new GuestUsers(dir, guestUids)
const checks = (most = {}, binary = 'qemu-img') => new ImageChecks(new QemuImg(binary, { users: users() }, most))
const image = () => ({ disk: { path, format: 'qcow2' as const }, kernel: undefined, ramdisk: undefined })

/** The processes that look at the image. */
const looking = () =>
  readdirSync('/proc').filter((pid) => {
    try {
      const { ino } = statSync(`/proc/${pid}/fd/3`)
      return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'qemu-img\n' && ino === statSync(path).ino
    } catch {
      return false
    }
  })

test('a table larger than the size of the disk needs is refused before any program looks at it', async () => {
  await costlyImage(1 << 30)
  const refused = checkImage(checks({}, '/no/such/qemu-img'), image())
  await expect(refused).rejects.toMatchObject({
    code: 'ImageUnusable',
    message:
      'Image file image cannot be used: its L1 table is larger than its size needs; make it anew: qemu-img convert -O qcow2.',
  })
})

describe.runIf(await qemu())('an image whose check takes long', () => {
  // As large as its table says.
  beforeEach(() => costlyImage(2 ** 51))

  test('costs one bounded check, however many ask, and whatever becomes of the daemon', async () => {
    const first = checks({ cpu: 1 })
    const asked = [1, 2, 3].map(() => checkImage(first, image()).catch((e: unknown) => e))
    await vi.waitFor(() => expect(looking()).toHaveLength(1), 10_000)
    const found = await Promise.all(asked)
    const unusable = { code: 'ImageUnusable', message: expect.stringContaining('takes more than 1 s to check') }
    expect(found).toEqual([1, 2, 3].map(() => expect.objectContaining(unusable)))
    expect(readdirSync(dir).sort()).toEqual(['image', 'image.checked'])
    await expect(checkImage(checks({}, '/no/such/qemu-img'), image())).rejects.toMatchObject(unusable)
  })

  test('is let go of when the last who waits for it leaves', async () => {
    const [one, two] = [new AbortController(), new AbortController()]
    const shared = checks()
    const asked = [one, two].map(({ signal }) => checkImage(shared, image(), signal).catch((e: unknown) => e))
    await vi.waitFor(() => expect(looking()).toHaveLength(1), 10_000)
    one.abort(new Error('cancelled'))
    expect(await asked[0]).toMatchObject({ message: 'cancelled' })
    expect(looking()).toHaveLength(1)
    two.abort(new Error('too late'))
    expect(await asked[1]).toMatchObject({ message: 'too late' })
    await vi.waitFor(() => expect(looking()).toEqual([]), 5_000)
    expect(existsSync(`${path}.checked`)).toBe(false)
  })

  test('is not the one that is another file of that name now', async () => {
    await expect(checkImage(checks({ cpu: 1 }), image())).rejects.toMatchObject({ code: 'ImageUnusable' })
    await rm(path)
    await exec('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M'])
    await checkImage(checks(), image())
  })
})
