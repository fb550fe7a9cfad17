import { type ExpressionBuilder, type Selectable, type SqlBool, sql } from 'kysely'
import { fail } from '../base/errors.ts'
import { nearest } from '../base/near.ts'
import type { Image, ImageFile, ImagePart, visibilities } from '../contracts/shapes.ts'
import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import { idThatBegins } from './id-prefix.ts'
import type { Scope } from './instances.ts'
import { after, failMarker, type Page } from './paging.ts'

/** A file of an image; `complete` once its content is in the store and was checked. */
export type StoredFile = ImageFile & { complete: boolean }
/** An image with how far its upload is, and whose it is. */
export type ImageRecord = Image & {
  projectId: string
  visibility: (typeof visibilities)[number]
  parts: Partial<Record<ImagePart, StoredFile>>
}

/** The rows that a caller sees: its project's and the public ones; all of them for administrators. */
const seenBy =
  ({ projectId, all }: Scope) =>
  (eb: ExpressionBuilder<Database, 'images'>) =>
    all ? sql.lit(true).$castTo<SqlBool>() : eb.or([eb('project_id', '=', projectId), eb('visibility', '=', 'public')])

/** The images that a caller sees, by name, without their metadata. Two queries (three with a marker). `InvalidRequest` if the marker is no image's id. */
export async function listImages(db: Db, { limit, marker }: Page, scope: Scope): Promise<ImageRecord[]> {
  const last = marker === undefined ? undefined : await placeOf(db, marker)
  const rows = await db
    .selectFrom('images')
    .select(['id', 'name', 'project_id', 'status', 'disk_format', 'min_memory_mb', 'min_disk_gb', 'created_at'])
    .select(['virtual_bytes', 'visibility'])
    .where(seenBy(scope))
    .$if(last !== undefined, (q) => q.where(after(last ?? {})))
    .orderBy('name')
    .orderBy('id')
    .limit(limit)
    .execute()
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const files = await db.selectFrom('image_files').selectAll().where('image_id', 'in', ids).execute()
  const byImage = grouped(files.filter(announced))
  return rows.map((row) => toRecord({ ...row, metadata: '{}' }, byImage.get(row.id) ?? []))
}

/** What a boot needs to know of its image. */
export type BootImage = Pick<
  Image,
  'id' | 'name' | 'status' | 'diskFormat' | 'minMemoryMb' | 'minDiskGb' | 'virtualBytes'
>

/** As many images as a question may offer to choose from, and one more. */
export const activeMax = 21

/** The first active images by name that are a project's own or public: at most {@link activeMax}. */
export async function activeImages(db: Db, projectId: string): Promise<BootImage[]> {
  const { rows } = await selectActive(db, { projectId })
  return rows.map(({ id, name, status, disk_format, min_memory_mb, min_disk_gb, virtual_bytes }) => ({
    id,
    name,
    status: status as Image['status'],
    minMemoryMb: min_memory_mb,
    minDiskGb: min_disk_gb,
    ...formatOf(disk_format),
    ...(virtual_bytes === null ? {} : { virtualBytes: virtual_bytes }),
  }))
}

const selectActive = prepared((db: Db, { projectId }: { projectId: string }) =>
  db
    .selectFrom('images')
    .select(['id', 'name', 'status', 'disk_format', 'min_memory_mb', 'min_disk_gb', 'virtual_bytes'])
    .where('status', '=', 'active')
    .where((eb) => eb.or([eb('project_id', '=', projectId), eb('visibility', '=', 'public')]))
    .orderBy('name')
    .limit(sql.lit(activeMax)),
)

const placeOf = async (db: Db, id: string) =>
  (await db.selectFrom('images').select(['name', 'id']).where('id', '=', id).executeTakeFirst()) ?? failMarker(id)

/** How many images of one name are read, to say which there are. */
const sameNameMax = 20

/**
 * The image of this id or, else, of this name: the project's own, else a public one, else (for administrators) one of another
 * project. Undefined if the caller sees none; `AmbiguousName` if the name is that of several.
 */
export async function findImage(db: Db, ref: string, scope: Scope): Promise<ImageRecord | undefined> {
  const rows = await db
    .selectFrom('images')
    .selectAll()
    .where(seenBy(scope))
    .where((eb) => eb.or([eb('id', '=', ref), eb('name', '=', ref)]))
    .orderBy(sql`case when id = ${ref} then 0 when project_id = ${scope.projectId} then 1
      when visibility = 'public' then 2 else 3 end`)
    .limit(sameNameMax)
    .execute()
  const [row] = rows
  if (!row) return undefined
  if (row.id !== ref && row.project_id !== scope.projectId) {
    const alike = rows.filter(({ visibility }) => visibility === row.visibility)
    if (alike.length > 1) fail('AmbiguousName', { kind: 'image', name: ref, ids: alike.map(({ id }) => id) })
  }
  return toRecord(row, await filesOf(db, row.id))
}

/** The same or, else, the image whose id begins so; `ImageNotFound` with near names if there is none. */
export async function resolveImage(db: Db, ref: string, scope: Scope): Promise<ImageRecord> {
  const image = await findImage(db, ref, scope)
  if (image) return image
  const id = await idThatBegins(db, 'images', ref, scope.all ? undefined : scope.projectId)
  if (id !== undefined && id !== ref) return resolveImage(db, id, scope)
  const names = await db.selectFrom('images').select('name').where(seenBy(scope)).limit(1000).execute()
  fail('ImageNotFound', {
    id: ref,
    near: nearest(
      ref,
      names.map(({ name }) => name),
    ),
  })
}

/** Adds an image and the announcement of its files. `ImageExists` if its project has another of its name. */
export async function addImage(db: Db, image: ImageRecord): Promise<void> {
  try {
    await db
      .insertInto('images')
      .values({
        id: image.id,
        name: image.name,
        project_id: image.projectId,
        status: image.status,
        disk_format: image.diskFormat ?? null,
        min_memory_mb: image.minMemoryMb,
        min_disk_gb: image.minDiskGb,
        metadata: JSON.stringify(image.metadata),
        created_at: image.createdAt,
        virtual_bytes: image.virtualBytes ?? null,
        visibility: image.visibility,
      })
      .execute()
  } catch (e) {
    if (isUniqueViolation(e)) fail('ImageExists', { name: image.name }, e)
    throw e
  }
  const files = Object.entries(image.parts)
  await db
    .insertInto('image_files')
    .values(
      files.map(([part, file]) => ({
        image_id: image.id,
        part,
        size_bytes: file.sizeBytes,
        sha256: file.sha256,
        complete: file.complete ? 1 : 0,
      })),
    )
    .execute()
}

/** Whether a project has a file of this content and size in the store: its own bytes need not be sent again. */
export async function hasContent(db: Db, projectId: string, file: ImageFile): Promise<boolean> {
  const row = await db
    .selectFrom('image_files as f')
    .innerJoin('images as i', 'i.id', 'f.image_id')
    .select('f.image_id')
    .where('f.sha256', '=', file.sha256)
    .where('f.size_bytes', '=', file.sizeBytes)
    .where('f.complete', '=', 1)
    .where((eb) => eb.or([eb('i.project_id', '=', projectId), eb('i.visibility', '=', 'public')]))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** The bytes that a project's images were announced with: what its quota counts. */
export async function imageBytesOf(db: Db, projectIds: readonly string[]): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('image_files as f')
    .innerJoin('images as i', 'i.id', 'f.image_id')
    .select(({ fn }) => ['i.project_id', fn.sum('f.size_bytes').as('bytes')])
    .where('i.project_id', 'in', projectIds)
    .groupBy('i.project_id')
    .execute()
  return new Map(rows.map(({ project_id, bytes }) => [project_id, Number(bytes ?? 0)]))
}

/** Images that were announced before a time and are not active: at most so many. */
export async function unfinishedImages(db: Db, before: number, limit: number): Promise<ImageRecord[]> {
  const rows = await db
    .selectFrom('images')
    .selectAll()
    .where('status', '!=', 'active')
    .where('created_at', '<', before)
    .orderBy('created_at')
    .limit(limit)
    .execute()
  return Promise.all(rows.map(async (row) => toRecord(row, await filesOf(db, row.id))))
}

/** How large a guest sees the disk of an image, in bytes. */
export async function setVirtualBytes(db: Db, id: string, virtualBytes: number): Promise<void> {
  await db.updateTable('images').set({ virtual_bytes: virtualBytes }).where('id', '=', id).execute()
}

/** The first piece of a file has come. */
export async function setImageSaving(db: Db, id: string): Promise<void> {
  await db.updateTable('images').set({ status: 'saving' }).where('id', '=', id).where('status', '=', 'queued').execute()
}

/**
 * A file's content is in the store; with the last one the image is active. Part of a transaction. Answers with the status;
 * undefined if the image was deleted meanwhile.
 */
export async function completeFile(db: Db, id: string, part: ImagePart): Promise<'saving' | 'active' | undefined> {
  await db.updateTable('image_files').set({ complete: 1 }).where('image_id', '=', id).where('part', '=', part).execute()
  const files = await filesOf(db, id)
  if (files.length === 0) return undefined
  if (files.some(({ complete }) => complete === 0)) return 'saving'
  await db.updateTable('images').set({ status: 'active' }).where('id', '=', id).execute()
  return 'active'
}

/**
 * Waits for whoever is removing files with these checksums, and keeps others from it until the transaction ends. A
 * checksum that no image has is not locked: then nobody removes it.
 */
export async function lockFiles(db: Db, checksums: readonly string[]): Promise<void> {
  const held = db.selectFrom('image_files').select('image_id').where('sha256', 'in', checksums)
  await locked(db, held.orderBy('image_id').orderBy('part')).execute()
}

/** Nothing boots from an image any more; its rows are still there. */
export async function retireImage(db: Db, id: string): Promise<void> {
  await db.updateTable('images').set({ status: 'queued' }).where('id', '=', id).execute()
  await db.updateTable('image_files').set({ complete: 0 }).where('image_id', '=', id).execute()
}

/**
 * Locks the files of an image; answers with the checksums that no other image has. Part of the transaction that removes
 * these files and then the image: see {@link lockFiles}.
 */
export async function lockOwnFiles(db: Db, id: string): Promise<string[]> {
  const files = db.selectFrom('image_files').select('sha256').where('image_id', '=', id)
  const rows = await locked(db, files).execute()
  const own = [...new Set(rows.flatMap(({ sha256 }) => (sha256 === null ? [] : [sha256])))]
  if (own.length === 0) return []
  // After the lock, so that an image is seen that was announced while this waited.
  const others = await db
    .selectFrom('image_files')
    .select('sha256')
    .where('sha256', 'in', own)
    .where('image_id', '!=', id)
    .execute()
  const kept = new Set(others.map(({ sha256 }) => sha256))
  return own.filter((sha256) => !kept.has(sha256))
}

/** Removes an image and what is recorded of its files; false if it is gone already. Part of a transaction. */
export async function removeImage(db: Db, id: string): Promise<boolean> {
  await db.deleteFrom('image_files').where('image_id', '=', id).execute()
  const { numDeletedRows } = await db.deleteFrom('images').where('id', '=', id).executeTakeFirst()
  return numDeletedRows === 1n
}

/** The checksum under which a file of an image is stored; undefined if there is no such file, or not yet. */
export async function storedFile(db: Db, id: string, part: ImagePart): Promise<ImageFile | undefined> {
  const row = await db
    .selectFrom('image_files')
    .select(['sha256', 'size_bytes'])
    .where('image_id', '=', id)
    .where('part', '=', part)
    .where('complete', '=', 1)
    .executeTakeFirst()
  if (!row || row.sha256 === null || row.size_bytes === null) return undefined
  return { sha256: row.sha256, sizeBytes: row.size_bytes }
}

/** The shape that clients see. */
export function toImage({ parts: _, ...image }: ImageRecord): Image {
  return image
}

/** Files whose content was announced: all of ours are. */
type FileRow = Selectable<Database['image_files']> & { size_bytes: number; sha256: string }

const filesOf = async (db: Db, id: string): Promise<FileRow[]> =>
  (await db.selectFrom('image_files').selectAll().where('image_id', '=', id).execute()).filter(announced)

const announced = (row: Selectable<Database['image_files']>): row is FileRow =>
  row.size_bytes !== null && row.sha256 !== null

function grouped(files: readonly FileRow[]): Map<string, FileRow[]> {
  const groups = new Map<string, FileRow[]>()
  for (const file of files) groups.set(file.image_id, [...(groups.get(file.image_id) ?? []), file])
  return groups
}

const formatOf = (format: string | null): Pick<Image, 'diskFormat'> =>
  format === null ? {} : { diskFormat: format as NonNullable<Image['diskFormat']> }

function toRecord(row: Selectable<Database['images']>, files: readonly FileRow[]): ImageRecord {
  const parts = Object.fromEntries(
    files.map((f) => [f.part, { sizeBytes: f.size_bytes, sha256: f.sha256, complete: f.complete === 1 }]),
  ) as Partial<Record<ImagePart, StoredFile>>
  return {
    id: row.id,
    name: row.name,
    projectId: row.project_id,
    status: row.status as Image['status'],
    ...formatOf(row.disk_format),
    files: Object.fromEntries(files.map((f) => [f.part, { sizeBytes: f.size_bytes, sha256: f.sha256 }])),
    parts,
    minMemoryMb: row.min_memory_mb,
    minDiskGb: row.min_disk_gb,
    sizeBytes: files.reduce((sum, f) => sum + f.size_bytes, 0),
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    createdAt: row.created_at,
    ...(row.virtual_bytes === null ? {} : { virtualBytes: row.virtual_bytes }),
    visibility: row.visibility as ImageRecord['visibility'],
  }
}
