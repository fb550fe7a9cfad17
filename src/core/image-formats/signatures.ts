/**
 * What a file is by its first and last bytes. A table, so that another format is a row. Nothing here opens a file: the
 * caller has read {@link headBytes} from the start of the file and {@link tailBytes} from its end.
 */

/** As many bytes of the start as the signatures need: an ISO image has its own behind 32 KiB of anything. */
export const headBytes = 36 << 10
/** As many bytes of the end: the footer of a VHD or a DMG. */
export const tailBytes = 512

/**
 * What a format means for who wants to boot from the file. `disk`: a container that a hypervisor must read as such, so that
 * its bytes are no disk. `packed`: something to unpack first. `other`: something else. `raw`: a disk as it stands.
 */
type Sort = 'disk' | 'packed' | 'other' | 'raw'

type Signature = {
  readonly name: string
  readonly sort: Sort
  readonly bytes: string
  /** Counted from the start, or with `end` from the end of the file. 0 if unset. */
  readonly at?: number
  readonly end?: true
}

/** What was recognised. */
export type Recognised = Pick<Signature, 'name' | 'sort'>

const signatures: readonly Signature[] = [
  { name: 'qcow2', sort: 'disk', bytes: 'QFI\xfb' },
  { name: 'QED', sort: 'disk', bytes: 'QED\0' },
  { name: 'VMDK', sort: 'disk', bytes: 'KDMV' },
  { name: 'VMDK', sort: 'disk', bytes: 'COWD' },
  { name: 'VMDK descriptor', sort: 'disk', bytes: '# Disk DescriptorFile' },
  { name: 'VHDX', sort: 'disk', bytes: 'vhdxfile' },
  // A dynamic VHD repeats its footer at the start.
  { name: 'VHD', sort: 'disk', bytes: 'conectix' },
  { name: 'VDI', sort: 'disk', bytes: '\x7f\x10\xda\xbe', at: 0x40 },
  { name: 'Parallels disk', sort: 'disk', bytes: 'WithoutFreeSpace' },
  { name: 'Parallels disk', sort: 'disk', bytes: 'WithouFreSpacExt' },
  { name: 'Bochs disk', sort: 'disk', bytes: 'Bochs Virtual HD Image' },
  { name: 'Android sparse image', sort: 'disk', bytes: '\x3a\xff\x26\xed' },
  { name: 'xz', sort: 'packed', bytes: '\xfd7zXZ\0' },
  { name: 'gzip', sort: 'packed', bytes: '\x1f\x8b\x08' },
  { name: 'zstd', sort: 'packed', bytes: '\x28\xb5\x2f\xfd' },
  { name: 'bzip2', sort: 'packed', bytes: '1AY&SY', at: 4 },
  { name: 'lz4', sort: 'packed', bytes: '\x04\x22\x4d\x18' },
  { name: 'lzip', sort: 'packed', bytes: 'LZIP' },
  { name: 'lzma', sort: 'packed', bytes: '\x5d\0\0' },
  { name: 'compress (.Z)', sort: 'packed', bytes: '\x1f\x9d' },
  { name: 'zip', sort: 'packed', bytes: 'PK\x03\x04' },
  { name: '7z', sort: 'packed', bytes: '7z\xbc\xaf\x27\x1c' },
  { name: 'RAR', sort: 'packed', bytes: 'Rar!\x1a\x07' },
  { name: 'tar', sort: 'packed', bytes: 'ustar', at: 257 },
  { name: 'cpio', sort: 'packed', bytes: '07070' },
  { name: 'squashfs', sort: 'other', bytes: 'hsqs' },
  { name: 'LUKS', sort: 'other', bytes: 'LUKS\xba\xbe' },
  { name: 'ELF', sort: 'other', bytes: '\x7fELF' },
  { name: 'deb', sort: 'packed', bytes: '!<arch>\n' },
  { name: 'RPM', sort: 'packed', bytes: '\xed\xab\xee\xdb' },
  { name: 'PDF', sort: 'other', bytes: '%PDF-' },
  { name: 'VHD', sort: 'raw', bytes: 'conectix', end: true },
  { name: 'DMG', sort: 'packed', bytes: 'koly', end: true },
  // As Nova sees it: the bytes of an ISO image are a disk, if it was made to be one.
  { name: 'ISO 9660', sort: 'raw', bytes: 'CD001', at: 0x8001 },
]

/** What else its start is like: a page or a list from a web server that was saved in place of the image. */
const markup = /^\uFEFF?\s*<(?:!doctype|html|\?xml|head|body)\b/i

/** What the file is; undefined if nothing is recognised: a disk without a partition table, or an empty one, has no sign. */
export function recognise(head: Uint8Array, tail: Uint8Array): Recognised | undefined {
  const found = signatures.filter(({ bytes, at = 0, end }) => has(end ? tail : head, bytes, at))
  const [first] = found
  if (first) return { name: first.name, sort: first.sort }
  return markup.test(text(head, 0, 256)) ? { name: 'a web page or XML', sort: 'other' } : undefined
}

const has = (data: Uint8Array, bytes: string, at: number): boolean => text(data, at, bytes.length) === bytes

const text = (data: Uint8Array, at: number, length: number): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1', at, at + length)
