import { link, rename, rm, writeFile } from 'node:fs/promises'

/** Replaces a file by one with this text, which only this user may read: whole, or not at all. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.part`, text, { mode: 0o600 })
  await rename(`${path}.part`, path)
}

/**
 * Makes a file with this text if there is none, which only this user may read: on the disk and whole, or not at all. One that
 * somebody else has made meanwhile stays. `by` is a word that no other maker of this file has.
 */
export async function makeFile(path: string, text: string, by: string): Promise<void> {
  const made = `${path}.${by}`
  await rm(made, { force: true })
  try {
    await writeFile(made, text, { mode: 0o600, flush: true })
    // A link never replaces a file.
    await link(made, path).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'EEXIST') throw e
    })
  } finally {
    await rm(made, { force: true })
  }
}
