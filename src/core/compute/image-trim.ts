import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A file of the cache, whole or begun (`.part`). */
export type CachedFile = { path: string; checksum: string; whole: boolean; bytes: number; usedAt: number }

const fileName = /^([0-9a-f]{64})([.]part)?$/

/** The image files in `dir`. */
export async function cachedFiles(dir: string): Promise<CachedFile[]> {
  const files: CachedFile[] = []
  for (const name of await readdir(dir)) {
    const match = fileName.exec(name)
    if (!match) continue
    const path = join(dir, name)
    const { size, mtimeMs } = await stat(path)
    files.push({ path, checksum: match[1]!, whole: match[2] === undefined, bytes: size, usedAt: mtimeMs })
  }
  return files
}

/** Which of the removable files have to go so that `surplusBytes` are gained: the longest unused first. */
export function toRemove(removable: readonly CachedFile[], surplusBytes: number): CachedFile[] {
  const chosen: CachedFile[] = []
  let gained = 0
  for (const file of [...removable].sort((a, b) => a.usedAt - b.usedAt)) {
    if (gained >= surplusBytes) break
    chosen.push(file)
    gained += file.bytes
  }
  return chosen
}

/** Removes files of the cache. A guest that has one open keeps it until it ends. */
export async function remove(files: readonly CachedFile[]): Promise<void> {
  for (const { path } of files) {
    await rm(path, { force: true })
    // What the driver found when it looked at the file.
    await rm(`${path}.checked`, { force: true })
  }
}
