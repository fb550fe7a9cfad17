import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { assert } from '../../base/errors.ts'
import { exists } from './disk.ts'
import type { QemuHost } from './host.ts'
import { plainWords } from './kvm-trouble.ts'
import { type Machine, machineType, runState } from './machine.ts'
import { type GuestPaths, withShortPath } from './paths.ts'
import type { Qmp } from './qmp.ts'
import { readRecord, writeRecord } from './record.ts'

/**
 * Saves the guest's memory to its directory and ends its machine. The file has its name only when it is whole, so a
 * daemon that is killed at any point leaves either the machine or the whole file.
 */
export async function suspendGuest(host: QemuHost, id: string, signal?: AbortSignal): Promise<void> {
  const paths = host.paths(id)
  const machine = await host.machine(id)
  if (!machine) {
    if (await exists(paths.memory)) return
    throw new Error('it does not run')
  }
  const state = await runState(machine.qmp)
  if (state !== 'postmigrate' || !(await exists(paths.memory))) {
    await saveMemory(host, machine, state, paths, signal)
  }
  await host.kill(id)
}

async function saveMemory(
  host: QemuHost,
  { id, qmp }: Machine,
  state: string,
  paths: GuestPaths,
  signal: AbortSignal | undefined,
): Promise<void> {
  const part = `${paths.memory}.part`
  const record = await readRecord(paths)
  const into = { file: part, most: savedMost(record?.hardware?.memoryMb ?? 0) }
  await rm(part, { force: true })
  // After a save that nobody read to its end QEMU wants to have run before it saves again.
  if (state === 'postmigrate') await qmp.execute('cont')
  // Standing still, each page is written once.
  await qmp.execute('stop')
  try {
    await rm(paths.memorySocket, { force: true })
    await withShortPath(paths.memorySocket, (socket) => receiveMemory(host, qmp, socket, into, signal))
    signal?.throwIfAborted()
  } catch (e) {
    await rm(part, { force: true })
    await qmp.execute('cont').catch((err: unknown) => host.log.warn({ instance: id, err }, 'cannot let it go on'))
    throw e
  }
  if (record?.hardware) {
    const hardware = { ...record.hardware, machineType: await machineType(qmp) }
    await writeRecord(paths, { ...record, hardware })
  }
  await rename(part, paths.memory)
  await sync(paths.dir)
}

/** QEMU sends the memory to a socket of ours: its sandbox lets it neither open a file for that nor start a program. */
async function receiveMemory(
  host: QemuHost,
  qmp: Qmp,
  socketPath: string,
  into: { file: string; most: number },
  signal: AbortSignal | undefined,
): Promise<void> {
  const server = createServer()
  // QEMU may be another user. Nobody else gets into the directory.
  server.listen({ path: socketPath, writableAll: true })
  await once(server, 'listening')
  const over = new AbortController()
  const written = writeTo(into, server, over.signal).then(
    () => undefined,
    (e: unknown) => e,
  )
  try {
    // The link is a pipe inside this host; QEMU's limit is made for networks.
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 })
    await qmp.execute('migrate', { uri: `unix:${basename(socketPath)}` })
    await migrated(host, qmp, signal)
    const failure = await written
    if (failure) throw failure
    await sync(into.file)
  } catch (e) {
    // QEMU may have ended before it came; nobody waits for it then.
    over.abort()
    const failure = await written
    // Where our side broke off, as on a full disk, that is all that QEMU knows.
    throw failure === undefined || (failure as Error).name === 'AbortError' ? e : failure
  } finally {
    // Removes the socket as well.
    server.close()
  }
}

/** How many bytes the memory of a guest that stands still can be when it is saved: each page once, and the devices. */
const savedMost = (memoryMb: number): number => (memoryMb * 1.25 + 256) * (1 << 20)

async function writeTo(
  { file, most }: { file: string; most: number },
  server: Server,
  signal: AbortSignal,
): Promise<void> {
  const [socket] = (await once(server, 'connection', { signal })) as [Socket]
  await pipeline(socket, bounded(most), createWriteStream(file, { mode: 0o600 }), { signal })
}

/** Passes on so many bytes and fails at more: a guest that broke out sends what it likes. */
const bounded = (most: number) =>
  async function* (chunks: AsyncIterable<Buffer>) {
    let left = most
    for await (const chunk of chunks) {
      left -= chunk.length
      if (left < 0) throw new Error('QEMU sends more than the memory of the guest')
      yield chunk
    }
  }

async function migrated(host: QemuHost, qmp: Qmp, signal: AbortSignal | undefined): Promise<void> {
  let cancelled = false
  for (;;) {
    const { status, 'error-desc': said } = (await qmp.execute('query-migrate')) as Record<string, string | undefined>
    if (status === 'completed') return
    if (status === 'cancelled') break
    if (status === 'failed')
      throw new Error(`QEMU could not write its memory${said ? `: ${plainWords(String(said))}` : ''}`)
    if (signal?.aborted && !cancelled) {
      cancelled = true
      await qmp.execute('migrate_cancel')
    }
    await host.clock.sleep(10)
  }
  signal?.throwIfAborted()
  assert(false, 'only we cancel a migration')
}

/** What is written stays written, even if the host's power fails now. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
