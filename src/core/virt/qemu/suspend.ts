import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { assert } from '../../base/errors.ts'
import { exists } from './disk.ts'
import type { QemuHost } from './host.ts'
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
  await rm(part, { force: true })
  // After a save that nobody read to its end QEMU wants to have run before it saves again.
  if (state === 'postmigrate') await qmp.execute('cont')
  // Standing still, each page is written once.
  await qmp.execute('stop')
  try {
    await rm(paths.memorySocket, { force: true })
    await withShortPath(paths.memorySocket, (socket) => receiveMemory(host, qmp, socket, part, signal))
    signal?.throwIfAborted()
  } catch (e) {
    await rm(part, { force: true })
    await qmp.execute('cont').catch((err: unknown) => host.log.warn({ instance: id, err }, 'cannot let it go on'))
    throw e
  }
  const record = await readRecord(paths)
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
  file: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const server = createServer()
  // QEMU may be another user. Nobody else gets into the directory.
  server.listen({ path: socketPath, writableAll: true })
  await once(server, 'listening')
  const over = new AbortController()
  const written = writeTo(file, server, over.signal).then(
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
    await sync(file)
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

async function writeTo(file: string, server: Server, signal: AbortSignal): Promise<void> {
  const [socket] = (await once(server, 'connection', { signal })) as [Socket]
  await pipeline(socket, createWriteStream(file, { mode: 0o600 }), { signal })
}

async function migrated(host: QemuHost, qmp: Qmp, signal: AbortSignal | undefined): Promise<void> {
  let cancelled = false
  for (;;) {
    const { status, 'error-desc': why } = (await qmp.execute('query-migrate')) as Record<string, string | undefined>
    if (status === 'completed') return
    if (status === 'cancelled') break
    if (status === 'failed') throw new Error(`QEMU could not write its memory${why ? `: ${why}` : ''}`)
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
