import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'

/** Which image files the instances of this host stand on. Kept on disk: a disk outlives the daemon that made it. */
export type ImageUses = {
  /** Notes that the instance needs these files, besides those noted before. */
  record(instance: string, checksums: readonly string[]): Promise<void>
  /** The instance is gone. Content to find nothing. */
  forget(instance: string): Promise<void>
  /** Instances with a note, and when (milliseconds since the epoch) it was last written. */
  instances(): ReadonlyMap<string, number>
  /** Whether any instance needs the file. */
  needed(checksum: string): boolean
}

type Use = { checksums: ReadonlySet<string>; at: number }

/** Reads the notes in `dir`: a file for each instance, with a checksum a line. */
export async function openUses(dir: string, clock: Clock): Promise<ImageUses> {
  await mkdir(dir, { recursive: true })
  const uses = new Map<string, Use>()
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    if (name.endsWith('.new')) await rm(path, { force: true })
    else {
      const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '')
      uses.set(name, { checksums: new Set(lines), at: (await stat(path)).mtimeMs })
    }
  }
  return {
    async record(instance, checksums) {
      const before = uses.get(instance)?.checksums ?? new Set<string>()
      const after = new Set([...before, ...checksums])
      // In memory first: from here on nobody removes the files.
      uses.set(instance, { checksums: after, at: clock.now() })
      if (after.size === before.size) return
      const path = join(dir, instance)
      await writeFile(`${path}.new`, `${[...after].join('\n')}\n`)
      await rename(`${path}.new`, path)
    },
    async forget(instance) {
      uses.delete(instance)
      await rm(join(dir, instance), { force: true })
    },
    instances: () => new Map([...uses].map(([instance, { at }]) => [instance, at])),
    needed: (checksum) => [...uses.values()].some(({ checksums }) => checksums.has(checksum)),
  }
}
