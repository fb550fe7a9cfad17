import { type Selectable, sql } from 'kysely'
import { fail } from '../base/errors.ts'
import { nearest } from '../base/near.ts'
import type { Image, ImageFile, ImagePart } from '../contracts/shapes.ts'
import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import { idThatBegins } from './id-prefix.ts'
import { after, failMarker, type Page } from './paging.ts'

/** A file of an image; `complete` once its content is in the store and was checked. */
export type StoredFile = ImageFile & { complete: boolean }
/** An image with how far its upload is, and whose it is. */
export type ImageRecord = Image & { projectId: string; parts: Partial<Record<ImagePart, StoredFile>> }

/** Images by name, without their metadata. Two queries (three with a marker). `InvalidRequest` if the marker is no image's id. */
export async function listImages(db: Db, { limit, marker }: Page): Promise<ImageRecord[]> {
  const last = marker === undefined ? undefined : await placeOf(db, marker)
  const rows = await db
    .selectFrom('images')
    .select(['id', 'name', 'project_id', 'status', 'disk_format', 'min_memory_mb', 'min_disk_gb', 'created_at'])
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
export type BootImage = Pick<Image, 'id' | 'name' | 'status' | 'minMemoryMb' | 'minDiskGb'>

/** As many images as a question may offer to choose from, and one more. */
export const activeMax = 21

/** The first active images by name: at most {@link activeMax}. */
export async function activeImages(db: Db): Promise<BootImage[]> {
  const { rows } = await selectActive(db, {})
  return rows.map(({ id, name, status, min_memory_mb, min_disk_gb }) => ({
    id,
    name,
    status: status as Image['status'],
    minMemoryMb: min_memory_mb,
    minDiskGb: min_disk_gb,
  }))
}

const selectActive = prepared((db: Db, _: Record<never, never>) =>
  db
    .selectFrom('images')
    .select(['id', 'name', 'status', 'min_memory_mb', 'min_disk_gb'])
    .where('status', '=', 'active')
    .orderBy('name')
    .limit(sql.lit(activeMax)),
)

const placeOf = async (db: Db, id: string) =>
  (await db.selectFrom('images').select(['name', 'id']).where('id', '=', id).executeTakeFirst()) ?? failMarker(id)

/** The image of this id or, else, name; undefined if there is none. */
export async function findImage(db: Db, ref: string): Promise<ImageRecord | undefined> {
  const rows = await db
    .selectFrom('images')
    .selectAll()
    .where((eb) => eb.or([eb('id', '=', ref), eb('name', '=', ref)]))
    .execute()
  const row = rows.find(({ id }) => id === ref) ?? rows[0]
  return row && toRecord(row, await filesOf(db, row.id))
}

/** The image of this id or, else, name or, else, beginning of an id. `ImageNotFound` with near names. */
export async function resolveImage(db: Db, ref: string): Promise<ImageRecord> {
  const image = await findImage(db, ref)
  if (image) return image
  const id = await idThatBegins(db, 'images', ref)
  if (id !== undefined && id !== ref) return resolveImage(db, id)
  const names = await db.selectFrom('images').select('name').limit(1000).execute()
  fail('ImageNotFound', {
    id: ref,
    near: nearest(
      ref,
      names.map(({ name }) => name),
    ),
  })
}

/** Adds an image and the announcement of its files. `ImageExists` if its name is taken. */
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
export function toImage({ parts: _, projectId: __, ...image }: ImageRecord): Image {
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

function toRecord(row: Selectable<Database['images']>, files: readonly FileRow[]): ImageRecord {
  const parts = Object.fromEntries(
    files.map((f) => [f.part, { sizeBytes: f.size_bytes, sha256: f.sha256, complete: f.complete === 1 }]),
  ) as Partial<Record<ImagePart, StoredFile>>
  return {
    id: row.id,
    name: row.name,
    projectId: row.project_id,
    status: row.status as Image['status'],
    ...(row.disk_format === null ? {} : { diskFormat: row.disk_format as Exclude<Image['diskFormat'], undefined> }),
    files: Object.fromEntries(files.map((f) => [f.part, { sizeBytes: f.size_bytes, sha256: f.sha256 }])),
    parts,
    minMemoryMb: row.min_memory_mb,
    minDiskGb: row.min_disk_gb,
    sizeBytes: files.reduce((sum, f) => sum + f.size_bytes, 0),
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    createdAt: row.created_at,
  }
}
