import { checkQcow2, type ReadAt } from './qcow2.ts'
import { headBytes, type Recognised, recognise, tailBytes } from './signatures.ts'

/** What a disk of an image is said to be. */
type DiskFormat = 'qcow2' | 'raw'
/** Why a file is not taken as a disk, and what to do about it. */
export type Refusal = { readonly why: string; readonly hint: string }
/** A disk that is taken: its format, and how large the guest sees it, in bytes. */
export type Disk = { readonly format: DiskFormat; readonly virtualBytes: number }

const sector = 512
const asItStands = 'If its bytes are a disk as they stand: --disk-format raw'

/**
 * Looks into a disk file, before any program opens it: what it is, and whether guests may start from it. `said` is the format
 * that its owner says it has; undefined: whatever it is, if that is clear. A raw file stays raw for ever, whatever its guest
 * writes; so what is said to be raw may be anything but another kind of virtual disk.
 */
export async function inspectDisk(
  read: ReadAt,
  sizeBytes: number,
  said: DiskFormat | undefined,
): Promise<Disk | Refusal> {
  const head = await read(0, headBytes)
  const tail = await read(Math.max(0, sizeBytes - tailBytes), tailBytes)
  const found = recognise(head, tail)
  if (found?.name === 'qcow2' && said !== 'raw') return inspectQcow2(read, sizeBytes)
  if (said === 'qcow2') return { why: `it is ${nameOf(found)}, not qcow2`, hint: sayRaw(found) }
  if (found?.sort === 'disk') return { why: `it is ${found.name}, not raw`, hint: convert(found.name) }
  if (said === undefined && found !== undefined && found.name !== 'ISO 9660') return undecided(found)
  if (said === undefined && sizeBytes % sector !== 0)
    return { why: 'it is no kind of disk that is known, nor as long as a raw one: whole sectors', hint: asItStands }
  return { format: 'raw', virtualBytes: Math.ceil(sizeBytes / sector) * sector }
}

async function inspectQcow2(read: ReadAt, sizeBytes: number): Promise<Disk | Refusal> {
  try {
    const { virtualBytes } = await checkQcow2(read, sizeBytes)
    return { format: 'qcow2', virtualBytes }
  } catch (e) {
    const why = (e as Error).message
    if (/cut off|damaged/.test(why)) return { why, hint: 'Get the file again, and compare its checksum.' }
    return { why, hint: 'Make one that stands alone: qemu-img convert -O qcow2 FILE NEW' }
  }
}

const nameOf = (found: Recognised | undefined): string => found?.name ?? 'raw, or of a kind that is not known'

const convert = (name: string): string =>
  name === 'qcow2' ? 'Say --disk-format qcow2, or nothing.' : 'Convert it: qemu-img convert -O qcow2 FILE NEW'

function sayRaw(found: Recognised | undefined): string {
  if (found?.sort === 'disk') return convert(found.name)
  return found?.sort === 'packed' ? 'Unpack it first.' : asItStands
}

function undecided({ name, sort }: Recognised): Refusal {
  const first = sort === 'packed' ? 'Unpack it first. ' : ''
  return { why: `it is ${name}, no disk`, hint: `${first}${asItStands}` }
}
