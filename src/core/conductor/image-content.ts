import { fail } from '../base/errors.ts'
import type { Image } from '../contracts/shapes.ts'
import type { Db } from '../db/open.ts'
import { inspectDisk } from '../image-formats/inspect.ts'
import { setVirtualBytes, storedFile } from '../store/images.ts'
import { fileOf, reading } from './files.ts'

type Looked = Pick<Image, 'id' | 'name' | 'diskFormat'>

/**
 * Looks into the disk file of an image and keeps how large a guest sees the disk, in bytes; undefined if there is no such file.
 * `InvalidRequest` if no guest can start from the file.
 */
export async function lookInto(db: Db, image: Looked, path: string): Promise<number | undefined> {
  const found = await reading(path, (read, sizeBytes) => inspectDisk(read, sizeBytes, image.diskFormat))
  if (found === undefined) return undefined
  if ('why' in found)
    fail('InvalidRequest', {
      what: `The disk of image "${image.name}" cannot be used: ${found.why}.`,
      hint: found.hint,
    })
  await setVirtualBytes(db, image.id, found.virtualBytes)
  return found.virtualBytes
}

/**
 * How large a guest sees the disk of an active image, in bytes. One that came before its kind was looked into is looked into
 * now. Undefined if the image has no disk, or if the file is not in the directory of this conductor.
 */
export async function virtualBytesOf(
  { db, imageDir }: { db: Db; imageDir: string },
  image: Looked & Pick<Image, 'virtualBytes'>,
): Promise<number | undefined> {
  if (image.virtualBytes !== undefined) return image.virtualBytes
  const file = await storedFile(db, image.id, 'disk')
  return file && lookInto(db, image, fileOf(imageDir, file.sha256))
}
