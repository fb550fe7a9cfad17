import { fail, isFailure } from '../../base/errors.ts'
import type { agent } from '../../contracts/agent.ts'
import type { conductor } from '../../contracts/conductor.ts'
import { type Image, type ImagePart, imageParts } from '../../contracts/shapes.ts'
import { tx } from '../../db/tx.ts'
import type { Context } from '../../model/context.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import {
  addImage,
  completeFile,
  type ImageRecord,
  listImages,
  removeImage,
  resolveImage,
  type StoredFile,
  setImageSaving,
  storedFile,
  toImage,
} from '../../store/images.ts'
import type { ConductorDeps } from '../deps.ts'
import { completeUpload, hasFile, readPiece, removeFile, removeUpload, writePiece } from '../files.ts'

type Deps = Pick<ConductorDeps, 'db' | 'imageDir'>

/** Every image. */
export async function imageList({ db }: Pick<Deps, 'db'>): Promise<Result<typeof conductor, 'imageList'>> {
  return { images: (await listImages(db)).map(toImage) }
}

/** One image. `ImageNotFound`. */
export async function imageShow(
  { db }: Pick<Deps, 'db'>,
  { image }: Args<typeof conductor, 'imageShow'>,
): Promise<Image> {
  return toImage(await resolveImage(db, image))
}

/**
 * Announces an image. Files whose content is here already need not be sent. The same announcement again, while files are
 * missing, goes on with the image that the first one made. `ImageExists`.
 */
export async function imageCreate(
  { db, ids, clock, imageDir }: Deps & Pick<ConductorDeps, 'ids' | 'clock'>,
  ctx: Context,
  request: Args<typeof conductor, 'imageCreate'>,
): Promise<Result<typeof conductor, 'imageCreate'>> {
  check(request)
  const parts: ImageRecord['parts'] = {}
  for (const part of imageParts) {
    const file = request.files[part]
    if (file) parts[part] = { ...file, complete: await hasFile(imageDir, file.sha256) }
  }
  const missing = missingOf(parts)
  const record: ImageRecord = {
    id: ids.uuid(),
    name: request.name,
    projectId: ctx.projectId,
    status: missing.length === 0 ? 'active' : 'queued',
    ...(request.diskFormat === undefined ? {} : { diskFormat: request.diskFormat }),
    files: request.files,
    parts,
    minMemoryMb: request.minMemoryMb ?? 0,
    minDiskGb: request.minDiskGb ?? 0,
    sizeBytes: Object.values(parts).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    metadata: request.metadata ?? {},
    createdAt: clock.now(),
  }
  try {
    await tx(db, (db) => addImage(db, record))
    return { image: toImage(record), missing }
  } catch (e) {
    if (!isFailure(e, 'ImageExists')) throw e
    const begun = await resolveImage(db, request.name)
    if (begun.status === 'active' || begun.projectId !== ctx.projectId || !sameFiles(begun.parts, parts)) throw e
    return { image: toImage(begun), missing: missingOf(begun.parts) }
  }
}

function check({ files, diskFormat }: Args<typeof conductor, 'imageCreate'>): void {
  if (!files.disk && !files.kernel) fail('InvalidRequest', { what: 'An image needs a disk or a kernel to start from.' })
  if (files.ramdisk && !files.kernel) fail('InvalidRequest', { what: 'A ramdisk is of no use without a kernel.' })
  if (files.disk && diskFormat === undefined)
    fail('InvalidRequest', { what: 'The format of the disk must be said: qcow2 or raw.' })
  for (const [part, file] of Object.entries(files))
    if (file && file.sizeBytes === 0) fail('InvalidRequest', { what: `The ${part} file is empty.` })
}

const missingOf = (parts: ImageRecord['parts']): ImagePart[] =>
  imageParts.filter((part) => parts[part] && !parts[part].complete)

const sameFiles = (a: ImageRecord['parts'], b: ImageRecord['parts']): boolean =>
  imageParts.every((part) => a[part]?.sha256 === b[part]?.sha256)

/** Writes a piece of a file; the last one completes and checks it, and the last file makes the image active. */
export async function imageWrite(
  deps: Deps,
  ctx: Context,
  { image: id, part, offset, data }: Args<typeof conductor, 'imageWrite'>,
): Promise<Result<typeof conductor, 'imageWrite'>> {
  const { db, imageDir } = deps
  const image = await resolveImage(db, id)
  own(ctx, image, 'written')
  const file: StoredFile | undefined = image.parts[part]
  if (!file) return fail('InvalidRequest', { what: `Image "${image.name}" has no ${part} file.` })
  if (file.complete) return { status: image.status }
  const bytes = Buffer.from(data, 'base64')
  const end = offset + bytes.length
  if (end > file.sizeBytes)
    fail('InvalidRequest', {
      what: `The ${part} file of "${image.name}" was announced with ${file.sizeBytes} bytes; this piece ends at ${end}.`,
    })
  const upload = uploadOf(image.id, part)
  await writePiece(imageDir, upload, offset, bytes)
  if (image.status === 'queued') await setImageSaving(db, image.id)
  if (end < file.sizeBytes) return { status: 'saving' }
  await completeUpload(imageDir, upload, { image: image.name, sha256: file.sha256, sizeBytes: file.sizeBytes })
  return { status: await tx(db, (db) => completeFile(db, image.id, part)) }
}

const uploadOf = (imageId: string, part: ImagePart): string => `${imageId}-${part}`

/** Guests that were made from it live on: their hosts have their own copies. */
export async function imageDelete(
  { db, imageDir }: Deps,
  ctx: Context,
  { image: ref }: Args<typeof conductor, 'imageDelete'>,
): Promise<Result<typeof conductor, 'imageDelete'>> {
  const image = await resolveImage(db, ref)
  own(ctx, image, 'deleted')
  const unused = await tx(db, (db) => removeImage(db, image.id))
  for (const sha256 of unused) await removeFile(imageDir, sha256)
  for (const part of imageParts) await removeUpload(imageDir, uploadOf(image.id, part))
  return { id: image.id, name: image.name }
}

function own(ctx: Context, image: ImageRecord, action: string): void {
  if (ctx.isAdmin || image.projectId === ctx.projectId) return
  fail('Forbidden', { what: `Image "${image.name}" is another project's and can be ${action} only there.` })
}

/** A piece of an image file for a host; empty past its end. */
export async function imageRead(
  { db, imageDir }: Deps,
  { image, part, offset, length }: Args<typeof agent, 'imageRead'>,
): Promise<Result<typeof agent, 'imageRead'>> {
  const file = await storedFile(db, image, part)
  const piece = file && (await readPiece(imageDir, file.sha256, { offset, length }))
  if (!piece) return fail('ImageNotFound', { id: `${image} (${part})` })
  return { data: piece.toString('base64') }
}
