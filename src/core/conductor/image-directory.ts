import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fail } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import { shellWord } from '../base/shell-word.ts'
import { makeFile } from '../base/whole-file.ts'
import type { Db } from '../db/handle.ts'
import { imageDirectoryId, recordImageDirectory } from '../store/image-directory.ts'

/** The file that says of which cloud the image files beside it are. */
const markName = 'nova-images.id'

/**
 * Makes sure that all conductors of a cloud have their image files in one directory: its id lies in the directory and in the
 * database. `ConfigInvalid` if this directory is another one; then images of this conductor would be missing on the others.
 */
export async function claimImageDirectory(db: Db, ids: Pick<Ids, 'uuid'>, dir: string, source: string): Promise<void> {
  const path = join(dir, markName)
  const here = await markOf(path)
  const known = await imageDirectoryId(db)
  const recorded = known ?? (await recordImageDirectory(db, here ?? (await mark(path, ids.uuid()))))
  if ((here ?? (await markOf(path))) === recorded) return
  fail('ConfigInvalid', {
    key: 'conductor.image_dir',
    value: dir,
    source,
    allowed: 'it must be the directory with the image files of this cloud, which all its conductors share',
    hint: `Mount the directory that the other conductors have. If its files are lost for good, go on with this one: echo ${recorded} > ${shellWord(path)}`,
  })
}

const markOf = async (path: string): Promise<string | undefined> =>
  (
    await readFile(path, 'utf8').catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'ENOENT') throw e
      return undefined
    })
  )?.trim()

/** Lays an id into a directory that has none; answers with the one that lies there then. */
async function mark(path: string, id: string): Promise<string> {
  await makeFile(path, `${id}\n`, id)
  return (await markOf(path)) ?? id
}
