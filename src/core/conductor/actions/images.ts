import { allow, type Target } from '../../auth/policy.ts'
import { fail, isFailure } from '../../base/errors.ts'
import type { computeAgent } from '../../contracts/compute-agent.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { ResolvedArgs } from '../../contracts/kinds.ts'
import { type Image, type ImagePart, imageParts } from '../../contracts/shapes.ts'
import { isFull } from '../../db/dialect.ts'
import { tx } from '../../db/tx.ts'
import type { Context } from '../../model/context.ts'
import { deadlineMs } from '../../model/operation.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { beginOperations } from '../../operations/begin.ts'
import { dispatchAll } from '../../operations/dispatch.ts'
import type { Dispatch } from '../../operations/open.ts'
import { changeOperations } from '../../operations/transaction.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import {
  addImage,
  completeFile,
  findImage,
  hasContent,
  type ImageRecord,
  listImages,
  lockFiles,
  lockOwnFiles,
  removeImage,
  resolveImage,
  retireImage,
  type StoredFile,
  setImageSaving,
  storedFile,
  toImage,
  unfinishedImages,
} from '../../store/images.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import type { NewOperation } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { fileOf, hasFile, lastCame, readPiece, removeFile } from '../files.ts'
import { lookInto } from '../image-content.ts'
import { begunUnder, keyOf, once } from '../operations/idempotency.ts'
import { checkQuota } from '../operations/quota.ts'
import { scopeOf } from './access.ts'

type Deps = Pick<ConductorDeps, 'db' | 'imageDir'>

/** The images that the caller sees, by name. */
export async function imageList(
  { db }: Pick<Deps, 'db'>,
  ctx: Context,
  { limit = pageDefault, marker }: Args<typeof conductor, 'imageList'>,
): Promise<Result<typeof conductor, 'imageList'>> {
  const { rows, ...more } = inOneAnswer((await listImages(db, { limit, marker }, scopeOf(ctx))).map(toImage))
  return { images: rows, ...more }
}

/** One image. `ImageNotFound`. */
export async function imageShow(
  { db }: Pick<Deps, 'db'>,
  ctx: Context,
  { image }: Args<typeof conductor, 'imageShow'>,
): Promise<Image> {
  return toImage(await resolveImage(db, image, scopeOf(ctx)))
}

/**
 * Announces an image. Files that the project has sent before, or that are public, need not be sent again. The same
 * announcement again, while files are missing, goes on with the image that the first one made. `ImageExists`,
 * `QuotaExceeded`, `InvalidRequest` if there is no room for the files.
 */
export async function imageCreate(
  deps: Deps & Pick<ConductorDeps, 'ids' | 'clock' | 'uploads' | 'options'>,
  ctx: Context,
  request: Args<typeof conductor, 'imageCreate'>,
): Promise<Result<typeof conductor, 'imageCreate'>> {
  check(request)
  if (request.visibility === 'public') allow(ctx, 'publicize_image')
  const { db, ids, clock, options } = deps
  const announced = { id: ids.uuid(), projectId: ctx.projectId, createdAt: clock.now() }
  const total = Object.values(request.files).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const wanted = { image_size_total: Math.ceil(total / mib) }
  try {
    return await tx(db, async (db) => {
      // The lock on the project first: announcements of equal content then wait for one another in one order.
      await checkQuota(db, ctx.projectId, { wanted, quota: options.quota, now: clock.now() })
      const parts = await partsOf({ ...deps, db }, ctx.projectId, request.files)
      const missing = missingOf(parts)
      await deps.uploads.checkRoom(missing.reduce((sum, part) => sum + (parts[part]?.sizeBytes ?? 0), 0))
      const record = recordOf(request, parts, announced)
      await addImage(db, record)
      const disk = parts.disk?.complete
        ? await lookInto(db, record, fileOf(deps.imageDir, parts.disk.sha256))
        : undefined
      return { image: toImage({ ...record, ...(disk === undefined ? {} : { virtualBytes: disk }) }), missing }
    })
  } catch (e) {
    const begun = await begunAs(deps, ctx, request)
    if (!begun || !isFailure(e)) throw e
    return { image: toImage(begun), missing: missingOf(begun.parts) }
  }
}

/** The image that the same announcement has made before, if files of it are missing. */
async function begunAs(
  { db }: Pick<Deps, 'db'>,
  ctx: Context,
  { name, files }: Args<typeof conductor, 'imageCreate'>,
): Promise<ImageRecord | undefined> {
  const begun = await findImage(db, name, { projectId: ctx.projectId, all: false })
  const isMine = begun?.projectId === ctx.projectId && begun.name === name
  return isMine && begun.status !== 'active' && sameFiles(begun.files, files) ? begun : undefined
}

type Files = ImageRecord['files']

/**
 * Which of the announced files need not be sent. Looked at under a lock: a file that is found here is not removed before this
 * transaction ends, and not after it either, because then another image has it. To name a checksum is no proof of having the
 * content: only what this project could read anyway is taken as sent.
 */
async function partsOf({ db, imageDir }: Deps, projectId: string, files: Files): Promise<ImageRecord['parts']> {
  await lockFiles(
    db,
    Object.values(files).map(({ sha256 }) => sha256),
  )
  const parts: ImageRecord['parts'] = {}
  for (const part of imageParts) {
    const file = files[part]
    if (!file) continue
    parts[part] = { ...file, complete: (await hasContent(db, projectId, file)) && (await hasFile(imageDir, file)) }
  }
  return parts
}

const recordOf = (
  request: Args<typeof conductor, 'imageCreate'>,
  parts: ImageRecord['parts'],
  announced: Pick<ImageRecord, 'id' | 'projectId' | 'createdAt'>,
): ImageRecord => ({
  ...announced,
  name: request.name,
  status: missingOf(parts).length === 0 ? 'active' : 'queued',
  ...(request.diskFormat === undefined ? {} : { diskFormat: request.diskFormat }),
  files: request.files,
  parts,
  minMemoryMb: request.minMemoryMb ?? 0,
  minDiskGb: request.minDiskGb ?? 0,
  sizeBytes: Object.values(parts).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  metadata: request.metadata ?? {},
  visibility: request.visibility ?? 'private',
})

const mib = 2 ** 20
/** The largest file of each part in MiB: a disk as QEMU can address it, and what a guest's memory could hold. */
const largestMib: Readonly<Record<ImagePart, number>> = { disk: 16 << 20, kernel: 1 << 10, ramdisk: 4 << 10 }

function check({ files, diskFormat }: Args<typeof conductor, 'imageCreate'>): void {
  if (!files.disk && !files.kernel) fail('InvalidRequest', { what: 'An image needs a disk or a kernel to start from.' })
  if (files.ramdisk && !files.kernel) fail('InvalidRequest', { what: 'A ramdisk is of no use without a kernel.' })
  if (files.disk && diskFormat === undefined)
    fail('InvalidRequest', { what: 'The format of the disk must be said: qcow2 or raw.' })
  for (const part of imageParts) {
    const size = files[part]?.sizeBytes
    if (size === 0) fail('InvalidRequest', { what: `The ${part} file is empty.` })
    if (size !== undefined && size > largestMib[part] * mib)
      fail('InvalidRequest', { what: `The ${part} file is too large: at most ${largestMib[part]} MiB are taken.` })
  }
}

const missingOf = (parts: ImageRecord['parts']): ImagePart[] =>
  imageParts.filter((part) => parts[part] && !parts[part].complete)

const sameFiles = (a: Files, b: Files): boolean =>
  imageParts.every((part) => a[part]?.sha256 === b[part]?.sha256 && a[part]?.sizeBytes === b[part]?.sizeBytes)

/** Writes a piece of a file; the last one completes and checks it, and the last file makes the image active. */
export async function imageWrite(
  deps: Deps & Pick<ConductorDeps, 'uploads'>,
  ctx: Context,
  { image: id, part, offset, data }: Args<typeof conductor, 'imageWrite'>,
): Promise<Result<typeof conductor, 'imageWrite'>> {
  const { db, uploads } = deps
  const image = await resolveImage(db, id, scopeOf(ctx))
  allow(ctx, 'upload_image', targetOf(image))
  const file: StoredFile | undefined = image.parts[part]
  if (!file) return fail('InvalidRequest', { what: `Image "${image.name}" has no ${part} file.` })
  if (file.complete) return { status: image.status }
  const bytes = Buffer.from(data, 'base64')
  const end = offset + bytes.length
  if (end > file.sizeBytes)
    fail('InvalidRequest', {
      what: `The ${part} file of "${image.name}" was announced with ${file.sizeBytes} bytes; this piece ends at ${end}.`,
    })
  const announced = {
    image: image.name,
    sha256: file.sha256,
    sizeBytes: file.sizeBytes,
    check: async (path: string) => void (part === 'disk' && (await lookOrDiscard(deps, image, path))),
  }
  const whole = await uploads.write(uploadOf(image.id, part), announced, offset, bytes)
  if (image.status === 'queued') await setImageSaving(db, image.id)
  if (!whole) return { status: 'saving' }
  const status = await tx(db, (db) => completeFile(db, image.id, part))
  return status === undefined ? fail('ImageNotFound', { id: image.name }) : { status }
}

const uploadOf = (imageId: string, part: ImagePart): string => `${imageId}-${part}`

/** The operation that has the hosts remove the files of a deleted image from their caches; `key` as rows keep it. */
const deletionOf = (
  ctx: Context,
  { id, name, projectId }: ImageRecord,
  { id: operation, key, checksums, now }: { id: string; key: string | undefined; checksums: string[]; now: number },
): NewOperation => ({
  id: operation,
  subject: { kind: 'image', id, name },
  projectId,
  userId: ctx.userId,
  kind: 'delete-image',
  args: { checksums } satisfies ResolvedArgs<'delete-image'>,
  placing: undefined,
  requestId: ctx.requestId,
  idempotencyKey: key === undefined ? undefined : `${key}:0`,
  deadline: now + deadlineMs('delete-image', undefined),
  createdAt: now,
})

type Deleted = Result<typeof conductor, 'imageDelete'>

/**
 * Guests that were made from it live on: their hosts keep the files that disks stand on. The same idempotency key within a
 * day gives the first answer again.
 */
export async function imageDelete(
  deps: ConductorDeps,
  ctx: Context,
  { image: ref, idempotencyKey }: Args<typeof conductor, 'imageDelete'>,
): Promise<Deleted> {
  const { db } = deps
  const key = idempotencyKey === undefined ? undefined : keyOf(ctx, idempotencyKey)
  // Before the name is looked up: a delete that is repeated finds no image of that name any more.
  const { before, made } = await once(
    () => deletedUnder(deps, key, ref),
    async () => {
      const image = await resolveImage(db, ref, scopeOf(ctx))
      allow(ctx, 'delete_image', targetOf(image))
      // First of all nothing boots from it, so that an image whose file is gone is never active, wherever this is cut off.
      await retire(deps, image)
      return { image, begun: (await removeRows(deps, ctx, image, key)) ?? fail('ImageNotFound', { id: ref }) }
    },
  )
  if (before) return before
  const { image, begun } = made
  await dispatchAll(deps, ctx, begun.dispatches)
  await dropUploads(deps, image)
  return { id: image.id, name: image.name, operation: begun.operation }
}

/** An image whose disk no guest can start from is none: its name is free again. */
async function lookOrDiscard(deps: Deps & Pick<ConductorDeps, 'uploads'>, image: ImageRecord, path: string) {
  try {
    await lookInto(deps.db, image, path)
  } catch (e) {
    if (isFailure(e, 'InvalidRequest')) await discard(deps, image)
    throw e
  }
}

/** Removes an image that was never active. */
async function discard({ db, imageDir, uploads }: Deps & Pick<ConductorDeps, 'uploads'>, image: ImageRecord) {
  await tx(db, async (db) => {
    for (const sha256 of await lockOwnFiles(db, image.id)) await removeFile(imageDir, sha256)
    await removeImage(db, image.id)
  })
  await dropUploads({ uploads }, image)
}

const dropUploads = async ({ uploads }: Pick<ConductorDeps, 'uploads'>, { id }: ImageRecord) => {
  for (const part of imageParts) await uploads.drop(uploadOf(id, part))
}

/** So many unfinished images are removed in one round. */
const expiredAtOnce = 100

/** Removes images of which nothing has come since a time, so that they hold neither name nor quota. */
export async function expireImages(deps: Deps & Pick<ConductorDeps, 'uploads'>, before: number): Promise<void> {
  for (const image of await unfinishedImages(deps.db, before, expiredAtOnce)) {
    const came = await Promise.all(imageParts.map((part) => lastCame(deps.imageDir, uploadOf(image.id, part))))
    if (came.every((at) => at === undefined || at < before)) await discard(deps, image)
  }
}

/**
 * Nothing boots from it any more. If the disk of the database is full, the image's files go first: they may be on the same
 * disk.
 */
async function retire(deps: ConductorDeps, image: ImageRecord): Promise<void> {
  const retired = () => tx(deps.db, (db) => retireImage(db, image.id))
  try {
    await retired()
  } catch (e) {
    if (!isFull(e)) throw e
    await dropUploads(deps, image)
    for (const sha256 of await lockOwnFiles(deps.db, image.id)) await removeFile(deps.imageDir, sha256)
    await retired()
  }
}

/** Removes an image with its files, and begins the operation; undefined if somebody else has done so meanwhile. */
async function removeRows(
  deps: ConductorDeps,
  ctx: Context,
  image: ImageRecord,
  key: string | undefined,
): Promise<{ operation: string; dispatches: Dispatch[] } | undefined> {
  const operation = deps.ids.uuid()
  return changeOperations(deps, async (t) => {
    // While its rows are locked: an image with the same content that is being announced waits, and then finds no file.
    const checksums = await lockOwnFiles(t.db, image.id)
    for (const sha256 of checksums) await removeFile(deps.imageDir, sha256)
    if (!(await removeImage(t.db, image.id))) return undefined
    const deletion = deletionOf(ctx, image, { id: operation, key, checksums, now: t.now })
    return { operation, dispatches: await beginOperations(t, [deletion]) }
  })
}

/** What this key has deleted already. `InvalidRequest` if it has begun another request. */
async function deletedUnder(
  { db, clock }: ConductorDeps,
  key: string | undefined,
  ref: string,
): Promise<Deleted | undefined> {
  if (key === undefined) return undefined
  const matches = ({ subject }: OperationRecord) => subject.id === ref || subject.name === ref
  const [first] = await begunUnder(db, key, { kind: 'delete-image', now: clock.now(), matches })
  return first && { id: first.subject.id, name: first.subject.name, operation: first.id }
}

const targetOf = ({ name, projectId }: ImageRecord): Target => ({ projectId, what: `Image "${name}"` })

/** A piece of an image file for a host; empty past its end. */
export async function imageRead(
  { db, imageDir }: Deps,
  { image, part, offset, length }: Args<typeof computeAgent, 'imageRead'>,
): Promise<Result<typeof computeAgent, 'imageRead'>> {
  const file = await storedFile(db, image, part)
  const piece = file && (await readPiece(imageDir, file.sha256, { offset, length }))
  if (!piece) return fail('ImageNotFound', { id: `${image} (${part})` })
  return { data: piece.toString('base64') }
}
