import { readFile } from 'node:fs/promises'
import { reason } from '../../base/errors.ts'
import { replaceFile } from '../../base/whole-file.ts'
import type { Guest, ImageFiles } from '../driver.ts'
import type { Accelerator } from './arguments.ts'
import type { Hardware } from './hardware.ts'
import type { GuestPaths } from './paths.ts'

/** What a guest starts with, as it is written in its directory. */
export type GuestRecord = {
  guest: Guest
  image: ImageFiles
  /** Whether it has a disk of its own. If that file is gone, the guest must not start without it. */
  disk: boolean
  /** The machine of its last boot; undefined before the first. */
  hardware?: Hardware | undefined
  /** What its last machine was started with. */
  accelerator?: Accelerator | undefined
}

/** Undefined if this host has no such guest. */
export async function readRecord(paths: GuestPaths): Promise<GuestRecord | undefined> {
  let text: string
  try {
    text = await readFile(paths.record, 'utf8')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw e
  }
  try {
    return JSON.parse(text) as GuestRecord
  } catch (e) {
    const way = 'restore the file from a backup, or delete the instance'
    throw new Error(`its guest.json on this host is damaged (${reason(e)}): ${way}`, { cause: e })
  }
}

/** Whether a guest of this size is given a disk when it is made of this image. */
export const hasDisk = ({ size }: Pick<Guest, 'size'>, image: ImageFiles): boolean =>
  image.disk !== undefined || size.diskGb > 0

/** For its owner's eyes only: user data may hold passwords. */
export async function writeRecord(paths: GuestPaths, record: GuestRecord): Promise<void> {
  await replaceFile(paths.record, `${JSON.stringify(record, null, 2)}\n`)
}
