import { describe, expect, test } from 'vitest'
import { isoImage } from '../../../../src/core/virt/qemu/config-drive.ts'
import { hostname, metadataFiles } from '../../../../src/core/virt/qemu/metadata.ts'

const sector = 2048
const text = (bytes: Buffer, wide: boolean) =>
  wide ? Buffer.from(bytes).swap16().toString('utf16le') : bytes.toString('latin1')

/** Reads one of the two trees of an ISO 9660 image, as a kernel does. */
function readIso(image: Buffer, type: 1 | 2): { label: string; files: Map<string, string> } {
  const wide = type === 2
  const volume = image.subarray((15 + type) * sector, (16 + type) * sector)
  expect([volume[0], volume.toString('latin1', 1, 6)]).toEqual([type, 'CD001'])
  expect(volume.readUInt32LE(80) * sector).toBe(image.length)
  const files = new Map<string, string>()
  const walk = (at: number, bytes: number, prefix: string) => {
    const dir = image.subarray(at * sector, at * sector + bytes)
    for (let i = 0; dir[i]; i += dir[i] ?? 0) {
      const [extent, size] = [dir.readUInt32LE(i + 2), dir.readUInt32LE(i + 10)]
      expect([dir.readUInt32BE(i + 6), dir.readUInt32BE(i + 14)]).toEqual([extent, size])
      const id = dir.subarray(i + 33, i + 33 + (dir[i + 32] ?? 0))
      if (id.length === 1 && (id[0] ?? 9) < 2) continue
      const name = `${prefix}${text(id, wide).replace(';1', '')}`
      if ((dir[i + 25] ?? 0) & 2) walk(extent, size, `${name}/`)
      else files.set(name, image.toString('utf8', extent * sector, extent * sector + size))
    }
  }
  walk(volume.readUInt32LE(158), volume.readUInt32LE(166), '')
  return { label: text(volume.subarray(40, 72), wide).trim(), files }
}

describe('an ISO image', () => {
  const files = new Map([
    ['openstack/latest/meta_data.json', Buffer.from('{}')],
    ['openstack/latest/user_data', Buffer.from('x'.repeat(5000))],
    ['ec2/latest/meta-data.json', Buffer.from('é')],
    ['empty', Buffer.alloc(0)],
  ])
  const image = isoImage('config-2', files)

  test('holds the files under their Joliet names', () => {
    const { label, files: found } = readIso(image, 2)
    expect(label).toBe('config-2')
    expect([...found.keys()].sort()).toEqual([...files.keys()].sort())
    for (const [name, data] of files) expect(found.get(name)).toBe(data.toString())
  })

  test('holds them in capitals for who knows no Joliet', () => {
    const { label, files: found } = readIso(image, 1)
    expect(label).toBe('config-2')
    expect(found.get('OPENSTACK/LATEST/META_DATA.JSON')).toBe('{}')
    expect(found.size).toBe(files.size)
  })

  test('is the same for the same files', () => {
    expect(isoImage('config-2', new Map([...files].reverse())).equals(image)).toBe(true)
  })
})

describe('metadata', () => {
  const guest = {
    id: '6f70656e-7374-4163-8b00-6e6f76612121',
    name: 'Web 1',
    size: { vcpus: 1, memoryMb: 128, diskGb: 0 },
    metadata: { role: 'front' },
    userData: Buffer.from('#!/bin/sh\n').toString('base64'),
    publicKey: 'ssh-ed25519 AAAA me@there\n',
    generation: 1,
    nics: [],
    disks: [],
  }
  const json = (files: Map<string, Buffer>, path: string) => JSON.parse(files.get(path)?.toString() ?? '')

  test('in the layout of OpenStack', () => {
    const files = metadataFiles(guest)
    expect(json(files, 'openstack/latest/meta_data.json')).toEqual({
      uuid: guest.id,
      name: 'Web 1',
      hostname: 'web-1',
      launch_index: 0,
      meta: { role: 'front' },
      public_keys: { nova: 'ssh-ed25519 AAAA me@there' },
      keys: [{ name: 'nova', type: 'ssh', data: 'ssh-ed25519 AAAA me@there' }],
    })
    expect(files.get('openstack/latest/user_data')?.toString()).toBe('#!/bin/sh\n')
  })

  test('in the layout of EC2', () => {
    const files = metadataFiles(guest)
    expect(json(files, 'ec2/latest/meta-data.json')).toEqual({
      'instance-id': guest.id,
      hostname: 'web-1',
      'local-hostname': 'web-1',
      'public-keys': { '0': { 'openssh-key': 'ssh-ed25519 AAAA me@there' } },
    })
    expect(files.get('ec2/latest/user-data')?.toString()).toBe('#!/bin/sh\n')
  })

  test('without key and user data', () => {
    const files = metadataFiles({ ...guest, publicKey: undefined, userData: undefined })
    expect([...files.keys()]).toEqual(['openstack/latest/meta_data.json', 'ec2/latest/meta-data.json'])
    expect(json(files, 'openstack/latest/meta_data.json')).not.toHaveProperty('public_keys')
  })

  const names: Array<[string, string]> = [
    ['web', 'web'],
    ['Web server #1', 'web-server-1'],
    ['db_1.example.org', 'db-1-example-org'],
    ['-x-', 'x'],
    ['名前', 'server-6f70656e-7374-4163-8b00-6e6f76612121'],
    ['a'.repeat(100), 'a'.repeat(63)],
  ]
  test.each(names)('the host name of %j is %j', (name, expected) => expect(hostname({ ...guest, name })).toBe(expected))
})
