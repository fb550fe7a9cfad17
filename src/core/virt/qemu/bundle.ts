import * as z from 'zod'

/** What moves of a guest from host to host, besides its record: the files that are its own. */
const partNames = ['disk', 'console'] as const
export type PartName = (typeof partNames)[number]

/** A file of the guest, and where it lies in the bundle. All in bytes. */
export type Part = { name: PartName; bytes: number; offset: number }

/**
 * The files of a guest as one range of bytes: a block that lists them, then each of them from the start of a block on.
 * `dataBytes` is how much of them holds data.
 */
export type Bundle = { parts: Part[]; dataBytes: number; lengthBytes: number }

/** The list takes one block, and blocks of zeros are not sent. */
export const blockBytes = 1 << 16

const Listing = z.strictObject({
  version: z.literal(1),
  dataBytes: z.int().nonnegative(),
  parts: z.array(z.strictObject({ name: z.enum(partNames), bytes: z.int().nonnegative() })).max(partNames.length),
})

/** The bundle of files of these lengths. Of no files it is empty. */
export function newBundle(parts: ReadonlyArray<{ name: PartName; bytes: number }>, dataBytes: number): Bundle {
  let end = blockBytes
  const placed = parts.map(({ name, bytes }) => {
    const offset = end
    end += Math.ceil(bytes / blockBytes) * blockBytes
    return { name, bytes, offset }
  })
  return { parts: placed, dataBytes, lengthBytes: parts.length === 0 ? 0 : end }
}

/** The first block of a bundle. */
export function bundleHead({ parts, dataBytes }: Bundle): Buffer {
  const listing: z.input<typeof Listing> = {
    version: 1,
    dataBytes,
    parts: parts.map(({ name, bytes }) => ({ name, bytes })),
  }
  const block = Buffer.alloc(blockBytes)
  block.write(JSON.stringify(listing))
  return block
}

/** What the first block of a bundle lists. Fails if it is not one. */
export function readBundleHead(block: Buffer): Bundle {
  if (block.length !== blockBytes) throw new Error('what came does not begin with its list of files')
  const text = block.toString('utf8', 0, block.indexOf(0))
  const listing = Listing.safeParse(parseJson(text))
  if (!listing.success) throw new Error('what came begins with no list of files that is known here')
  const { parts, dataBytes } = listing.data
  if (new Set(parts.map(({ name }) => name)).size < parts.length) throw new Error('what came names a file twice')
  return newBundle(parts, dataBytes)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
