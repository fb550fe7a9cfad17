import { describe, expect, test } from 'vitest'
import { inspectDisk } from '../../../src/core/image-formats/inspect.ts'
import { headBytes } from '../../../src/core/image-formats/signatures.ts'
import { qcow2File } from '../../kit/qcow2.ts'

const inspect = (data: Buffer, said?: 'qcow2' | 'raw') =>
  inspectDisk(async (offset, length) => data.subarray(offset, offset + length), data.length, said)

/** A file of zeros with these bytes in it. */
function fileWith(text: string, at = 0, size = headBytes): Buffer {
  const data = Buffer.alloc(size)
  data.write(text, at < 0 ? size + at : at, 'latin1')
  return data
}

describe('what is no disk as it stands is refused, unless it is said to be raw', () => {
  test.each([
    ['xz', fileWith('\xfd7zXZ\0')],
    ['gzip', fileWith('\x1f\x8b\x08')],
    ['zstd', fileWith('\x28\xb5\x2f\xfd')],
    ['bzip2', fileWith('BZh91AY&SY')],
    ['lz4', fileWith('\x04\x22\x4d\x18')],
    ['zip', fileWith('PK\x03\x04')],
    ['7z', fileWith('7z\xbc\xaf\x27\x1c')],
    ['tar', fileWith('ustar', 257)],
    ['DMG', fileWith('koly', -512)],
    ['squashfs', fileWith('hsqs')],
    ['LUKS', fileWith('LUKS\xba\xbe')],
    ['VHD', fileWith('conectix', -512)],
    ['a web page or XML', fileWith('\n<!DOCTYPE html>')],
  ])('%s', async (name, data) => {
    expect(await inspect(data)).toMatchObject({ why: `it is ${name}, no disk` })
    expect(await inspect(data, 'qcow2')).toMatchObject({ why: `it is ${name}, not qcow2` })
    expect(await inspect(data, 'raw')).toEqual({ format: 'raw', virtualBytes: data.length })
  })
})

describe('another kind of virtual disk is refused, whatever it is said to be', () => {
  test.each([
    ['VMDK', fileWith('KDMV')],
    ['VMDK', fileWith('COWD')],
    ['VMDK descriptor', fileWith('# Disk DescriptorFile\nRW 1 FLAT "/etc/passwd" 0')],
    ['VDI', fileWith('\x7f\x10\xda\xbe', 0x40)],
    ['VHD', fileWith('conectix')],
    ['VHDX', fileWith('vhdxfile')],
    ['QED', fileWith('QED\0')],
  ])('%s', async (name, data) => {
    expect(await inspect(data)).toMatchObject({ why: `it is ${name}, not raw` })
    expect(await inspect(data, 'raw')).toMatchObject({ why: `it is ${name}, not raw` })
    expect(await inspect(data, 'qcow2')).toMatchObject({ why: `it is ${name}, not qcow2` })
  })
})

test.each([
  ['zeros', fileWith('')],
  ['a disk with a partition table', fileWith('\x55\xaa', 510)],
  ['an ISO image', fileWith('CD001', 0x8001)],
])('%s is raw', async (_, data) => {
  const virtualBytes = Math.max(512, data.length)
  expect(await inspect(data)).toEqual({ format: 'raw', virtualBytes })
  expect(await inspect(data, 'raw')).toEqual({ format: 'raw', virtualBytes })
  expect(await inspect(data, 'qcow2')).toMatchObject({ why: expect.stringContaining('not qcow2') })
})

test('a file that is nothing known and no whole sectors is taken only if it is said to be raw', async () => {
  for (const data of [Buffer.from('{"a": 1}'), Buffer.alloc(513), Buffer.from('#!/bin/sh\n')]) {
    expect(await inspect(data)).toMatchObject({
      why: expect.stringContaining('whole sectors'),
      hint: expect.stringContaining('--disk-format raw'),
    })
    const virtualBytes = Math.ceil(data.length / 512) * 512
    expect(await inspect(data, 'raw')).toEqual({ format: 'raw', virtualBytes })
  }
})

describe('qcow2', () => {
  const gib = 2 ** 30

  test.each([2, 3])('of version %i that stands alone is taken, with the size that its guest sees', async (version) => {
    expect(await inspect(qcow2File({ version, virtualBytes: 100 * gib }))).toEqual({
      format: 'qcow2',
      virtualBytes: 100 * gib,
    })
    expect(await inspect(qcow2File({ version }), 'qcow2')).toMatchObject({ format: 'qcow2' })
  })

  test('is not raw', async () => {
    expect(await inspect(qcow2File({}), 'raw')).toMatchObject({ why: 'it is qcow2, not raw' })
  })

  const u32 = (at: number, value: number) => (file: Buffer) => void file.writeUInt32BE(value, at)
  const u64 = (at: number, value: bigint) => (file: Buffer) => void file.writeBigUInt64BE(value, at)
  test.each<[string, RegExp, (file: Buffer) => unknown]>([
    ['a backing file', /has a backing file/, u64(8, 200n)],
    ['an external data file', /keeps its data in another file/, u64(72, 4n)],
    ['extended entries', /features that not every host has \(bits 0x10\)/, u64(72, 16n)],
    ['a feature of tomorrow', /features/, u64(72, 1n << 40n)],
    ['the mark of damage', /marked as damaged/, u64(72, 2n)],
    ['encryption', /encrypted/, u32(32, 2)],
    ['version 1', /version 1/, u32(4, 1)],
    ['clusters too small', /clusters of 2\^8 bytes/, u32(20, 8)],
    ['clusters too large', /clusters of 2\^22 bytes/, u32(20, 22)],
    ['no size', /a disk of 0 bytes/, u64(24, 0n)],
    ['a size beyond all numbers', /a disk of/, u64(24, 2n ** 63n)],
    ['a first table too short for its size', /1 entries in its first table, where/, u64(24, 2n ** 50n)],
    ['a first table beyond all memory', /entries in its first table/, u32(36, 0xffff_ffff)],
    ['a first table beyond its end', /cut off/, u64(40, 1n << 40n)],
    ['a table in its header', /table at byte 0/, u64(48, 0n)],
    ['a million snapshots', /1000000 snapshots/, u32(60, 1_000_000)],
    ['refcounts of 128 bits', /refcounts of 2\^7 bits/, u32(96, 7)],
    ['a header of 4 GiB', /length of/, u32(100, 0xffff_fff8)],
    ['a second table beyond its end', /cut off/, u64(3 << 16, 1n << 40n)],
    ['a cluster beyond its end', /cut off/, u64(4 << 16, 1n << 40n)],
    ['a compressed cluster beyond its end', /cut off/, u64(4 << 16, (1n << 62n) | (1n << 40n))],
    ['a cluster that is not on its grid', /damaged/, u64(4 << 16, 512n)],
  ])('with %s is refused', async (_, why, spoil) => {
    const file = qcow2File({})
    spoil(file)
    expect(await inspect(file)).toMatchObject({ why: expect.stringMatching(why), hint: expect.any(String) })
  })

  test('that names one table again and again costs one look', async () => {
    const file = qcow2File({ virtualBytes: 4 * gib })
    for (let i = 0; i < 8; i++) file.writeBigUInt64BE(4n << 16n, (3 << 16) + i * 8)
    expect(await inspect(file)).toMatchObject({ why: expect.stringContaining('tables are damaged') })
  })

  test('that is cut off is refused, wherever the cut is', async () => {
    const file = qcow2File({})
    for (const length of [4, 50, 80, 1 << 16, 3 << 16, 4 << 16, 5 << 16])
      expect(await inspect(file.subarray(0, length))).toMatchObject({ why: expect.stringMatching(/cut off|not qcow2/) })
  })
})
