/** Reads bytes of a file: as many as there are, from an offset. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>

/** What the header of a qcow2 file says. */
export type Qcow2Header = {
  readonly version: number
  readonly virtualBytes: number
  /** Its content is in another file, or stands on one: an image must do neither. */
  readonly hasBacking: boolean
  readonly hasDataFile: boolean
  readonly encrypted: boolean
  readonly damaged: boolean
  /** Bits of features that this program does not know, and a hypervisor may not either. */
  readonly unknownFeatures: bigint
  readonly clusterBits: number
  readonly l1Entries: number
  readonly l1Offset: number
  readonly refcountOffset: number
  readonly refcountClusters: number
  readonly refcountOrder: number
  readonly snapshots: number
  readonly snapshotsOffset: number
  readonly headerBytes: number
}

/** Bytes of a header that are read: those of version 3, with the type of compression. */
export const qcow2HeaderBytes = 112

const features = { dirty: 1n, corrupt: 2n, dataFile: 4n, compression: 8n }
const known = features.dirty | features.corrupt | features.dataFile | features.compression

/** Reads a header; nothing that it says is believed yet. Throws what is wrong if it is none. */
export function parseQcow2(header: Buffer): Qcow2Header {
  if (header.toString('latin1', 0, 4) !== 'QFI\xfb' || header.length < 72) throw new Error('it is not qcow2')
  const version = header.readUInt32BE(4)
  if (version !== 2 && version !== 3) throw new Error(`it is qcow of version ${version}, not qcow2`)
  if (version === 3 && header.length < 104) throw new Error('it is cut off')
  const incompatible = version === 3 ? header.readBigUInt64BE(72) : 0n
  const has = (bit: bigint): boolean => (incompatible & bit) !== 0n
  return {
    version,
    virtualBytes: Number(header.readBigUInt64BE(24)),
    hasBacking: header.readBigUInt64BE(8) !== 0n,
    hasDataFile: has(features.dataFile),
    encrypted: header.readUInt32BE(32) !== 0,
    damaged: has(features.corrupt),
    unknownFeatures: incompatible & ~known,
    clusterBits: header.readUInt32BE(20),
    l1Entries: header.readUInt32BE(36),
    l1Offset: Number(header.readBigUInt64BE(40)),
    refcountOffset: Number(header.readBigUInt64BE(48)),
    refcountClusters: header.readUInt32BE(56),
    refcountOrder: version === 3 ? header.readUInt32BE(96) : 4,
    snapshots: header.readUInt32BE(60),
    snapshotsOffset: Number(header.readBigUInt64BE(64)),
    headerBytes: version === 3 ? header.readUInt32BE(100) : 72,
  }
}

/** How many entries the first table of a disk of this size has. More of them would only make more work for whoever checks it. */
export function l1Needed({ clusterBits, virtualBytes }: Pick<Qcow2Header, 'clusterBits' | 'virtualBytes'>): number {
  const cluster = 2 ** clusterBits
  return Math.max(1, Math.ceil(virtualBytes / (cluster * (cluster / 8))))
}

/** QEMU's own bounds. */
const most = { l1Bytes: 32 << 20, refcountBytes: 8 << 20, snapshots: 65_536 }

/**
 * Throws what is wrong with a qcow2 file that comes from a stranger: it must stand alone, be whole, and be what every host
 * can open. Reads no more than the file has; a table that is named twice is refused, so that a small file cannot make much work.
 */
export async function checkQcow2(read: ReadAt, sizeBytes: number): Promise<Qcow2Header> {
  const header = parseQcow2(await read(0, qcow2HeaderBytes))
  checkHeader(header, sizeBytes)
  await checkTables(read, sizeBytes, header)
  return header
}

function checkHeader(header: Qcow2Header, sizeBytes: number): void {
  const { clusterBits, virtualBytes } = header
  if (header.hasBacking) throw new Error('it has a backing file')
  if (header.hasDataFile) throw new Error('it keeps its data in another file')
  if (header.encrypted) throw new Error('it is encrypted')
  if (header.damaged) throw new Error('it is marked as damaged')
  if (header.unknownFeatures !== 0n)
    throw new Error(`it needs features that not every host has (bits 0x${header.unknownFeatures.toString(16)})`)
  if (clusterBits < 9 || clusterBits > 21) throw new Error(`its header is wrong: clusters of 2^${clusterBits} bytes`)
  const cluster = 2 ** clusterBits
  const { headerBytes } = header
  if (headerBytes > cluster || (header.version === 3 && (headerBytes < 104 || headerBytes % 8 !== 0)))
    throw new Error(`its header is wrong: a length of ${headerBytes} bytes`)
  if (header.refcountOrder > 6) throw new Error(`its header is wrong: refcounts of 2^${header.refcountOrder} bits`)
  if (header.snapshots > most.snapshots) throw new Error(`its header is wrong: ${header.snapshots} snapshots`)
  if (virtualBytes === 0 || !Number.isSafeInteger(virtualBytes))
    throw new Error(`its header is wrong: a disk of ${virtualBytes} bytes`)
  const needed = l1Needed(header)
  if (header.l1Entries !== needed || needed * 8 > most.l1Bytes)
    throw new Error(`its header is wrong: ${header.l1Entries} entries in its first table, where ${needed} are needed`)
  const refcountBytes = header.refcountClusters * cluster
  if (refcountBytes === 0 || refcountBytes > most.refcountBytes)
    throw new Error(`its header is wrong: ${header.refcountClusters} clusters of refcounts`)
  for (const [offset, bytes] of [
    [header.l1Offset, header.l1Entries * 8],
    [header.refcountOffset, refcountBytes],
    [header.snapshots === 0 ? cluster : header.snapshotsOffset, header.snapshots * 40],
  ] as const) {
    if (offset < cluster || offset % cluster !== 0) throw new Error(`its header is wrong: a table at byte ${offset}`)
    if (bytes > 0 && offset + bytes > sizeBytes) throw new Error('it is cut off')
  }
}

const offsetMask = 0x00ff_ffff_ffff_fe00n
const compressed = 1n << 62n

/** Walks the tables: each must be in the file, and so must each cluster of data. */
async function checkTables(read: ReadAt, sizeBytes: number, header: Qcow2Header): Promise<void> {
  const cluster = 2 ** header.clusterBits
  const seen = new Set<number>()
  const l1 = await whole(read, header.l1Offset, header.l1Entries * 8)
  for (let i = 0; i < l1.length; i += 8) {
    const at = Number(l1.readBigUInt64BE(i) & offsetMask)
    if (at === 0) continue
    if (at % cluster !== 0 || seen.has(at)) throw new Error(`its tables are damaged (at byte ${at})`)
    if (at + cluster > sizeBytes) throw new Error('it is cut off')
    seen.add(at)
    const l2 = await whole(read, at, cluster)
    for (let j = 0; j < l2.length; j += 8) {
      const entry = l2.readBigUInt64BE(j)
      if (entry !== 0n) checkCluster(entry, header.clusterBits, sizeBytes)
    }
  }
}

function checkCluster(entry: bigint, clusterBits: number, sizeBytes: number): void {
  if ((entry & compressed) !== 0n) {
    const offset = Number(entry & ((1n << BigInt(62 - (clusterBits - 8))) - 1n))
    if (offset >= sizeBytes) throw new Error('it is cut off')
    return
  }
  const offset = Number(entry & offsetMask)
  if (offset % 2 ** clusterBits !== 0) throw new Error(`its tables are damaged (a cluster at byte ${offset})`)
  // The last cluster may end early: what is not in the file reads as zeros.
  if (offset >= sizeBytes) throw new Error('it is cut off')
}

async function whole(read: ReadAt, offset: number, length: number): Promise<Buffer> {
  const bytes = await read(offset, length)
  if (bytes.length < length) throw new Error('it is cut off')
  return bytes
}
