import { type FileHandle, open } from 'node:fs/promises'
import type { DiskReader } from '../driver.ts'
import { checkExportable } from '../moving.ts'
import { type Bundle, blockBytes, bundleHead, newBundle, type Part, type PartName } from './bundle.ts'
import { trimConsole } from './console.ts'
import { exists } from './disk.ts'
import type { QemuHost } from './host.ts'
import type { GuestPaths } from './paths.ts'
import { readRecord } from './record.ts'

/** How much of a file is read at once, in bytes; no extent is larger. */
const readBytes = 1 << 20
const zeros = Buffer.alloc(blockBytes)

type OpenPart = { name: PartName; file: FileHandle; bytes: number; dataBytes: number; changedAt: number }

/** Opens the files of a guest that stands still, to be sent to another host. */
export async function exportGuest(host: QemuHost, id: string): Promise<DiskReader> {
  // A process that does not talk counts as well.
  checkExportable((await host.machine(id))?.power ?? (await host.power(id)))
  const paths = host.paths(id)
  await trimConsole(paths.console)
  const record = await readRecord(paths)
  if (record?.disk && !(await exists(paths.disk))) throw new Error('its disk is not on this host')
  const parts = await openParts(paths, record?.disk ? ['disk', 'console'] : ['console'])
  const bundle = newBundle(
    parts,
    parts.reduce((sum, { dataBytes }) => sum + dataBytes, 0),
  )
  return {
    sizeBytes: bundle.dataBytes,
    lengthBytes: bundle.lengthBytes,
    extents: (signal) => readBundle(bundle, parts, signal),
    async close() {
      await Promise.all(parts.map(({ file }) => file.close()))
    },
  }
}

async function openParts(paths: GuestPaths, names: readonly PartName[]): Promise<OpenPart[]> {
  const parts: OpenPart[] = []
  for (const name of names) {
    // Only a guest that was never started has no console.
    if (!(await exists(paths[name]))) continue
    const file = await open(paths[name], 'r')
    const { size, blocks, mtimeMs } = await file.stat()
    parts.push({ name, file, bytes: size, dataBytes: Math.min(size, blocks * 512), changedAt: mtimeMs })
  }
  return parts
}

async function* readBundle(bundle: Bundle, open: readonly OpenPart[], signal: AbortSignal | undefined) {
  if (bundle.lengthBytes === 0) return
  yield { offset: 0, data: bundleHead(bundle) }
  for (const part of bundle.parts) {
    const opened = open.find(({ name }) => name === part.name)
    if (opened) yield* readPart(opened, part, signal)
  }
}

async function* readPart(
  { file, changedAt, name }: OpenPart,
  { bytes, offset }: Part,
  signal: AbortSignal | undefined,
) {
  for (let at = 0; at < bytes; at += readBytes) {
    signal?.throwIfAborted()
    const chunk = Buffer.allocUnsafe(Math.min(readBytes, bytes - at))
    await readAll(file, chunk, at)
    for (const { start, end } of dataIn(chunk)) {
      yield { offset: offset + at + start, data: chunk.subarray(start, end) }
    }
  }
  const now = await file.stat()
  if (now.size !== bytes || now.mtimeMs !== changedAt) throw new Error(`its ${name} was changed while it was read`)
}

async function readAll(file: FileHandle, into: Buffer, at: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, at + done)
    if (bytesRead === 0) throw new Error('a file of it became shorter while it was read')
    done += bytesRead
  }
}

/** The runs of blocks that are not all zeros. */
function dataIn(chunk: Buffer): Array<{ start: number; end: number }> {
  const runs: Array<{ start: number; end: number }> = []
  for (let start = 0; start < chunk.length; start += blockBytes) {
    const end = Math.min(start + blockBytes, chunk.length)
    if (chunk.subarray(start, end).equals(zeros.subarray(0, end - start))) continue
    const last = runs.at(-1)
    if (last?.end === start) last.end = end
    else runs.push({ start, end })
  }
  return runs
}
