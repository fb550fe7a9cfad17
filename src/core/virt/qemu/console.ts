import { type FileHandle, open } from 'node:fs/promises'
import { consoleMax, lastLines } from '../console.ts'

/** Above this size, in bytes, the older part of a console is dropped. */
export const consoleKeep = 8 << 20
const logMax = 64 << 10

async function openThere(path: string, flags: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw e
  }
}

async function tail(file: FileHandle, most = consoleMax): Promise<Buffer> {
  const { size } = await file.stat()
  const buffer = Buffer.alloc(Math.min(size, most))
  const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length)
  return buffer.subarray(0, bytesRead)
}

/** The end of a guest's console: the last `lines` lines, at most 1 MiB. Empty if nothing was printed yet. */
export async function readConsole(path: string, lines?: number): Promise<string> {
  const file = await openThere(path, 'r')
  if (!file) return ''
  try {
    return lastLines((await tail(file)).toString('utf8').replaceAll('\r\n', '\n'), lines)
  } finally {
    await file.close()
  }
}

/** The end of what QEMU itself printed, at most 64 KiB: a guest can make it talk. Empty if there is no such file. */
export async function readLog(path: string): Promise<string> {
  const file = await openThere(path, 'r')
  if (!file) return ''
  try {
    return (await tail(file, logMax)).toString('utf8')
  } finally {
    await file.close()
  }
}

/** Drops the older part of a console that has grown large, of a guest that does not run. */
export async function trimConsole(path: string): Promise<void> {
  const file = await openThere(path, 'r+')
  if (!file) return
  try {
    if ((await file.stat()).size <= consoleKeep) return
    const kept = await tail(file)
    await file.truncate(0)
    await file.write(kept, 0, kept.length, 0)
  } finally {
    await file.close()
  }
}
