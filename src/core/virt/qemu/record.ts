import { readFile, rename, writeFile } from 'node:fs/promises'
import { reason } from '../../base/errors.ts'
import type { Guest, ImageFiles } from '../driver.ts'
import type { Accelerator } from './arguments.ts'
import { firstHardware, type Hardware } from './hardware.ts'
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

/** A record as an older version wrote it. */
type OldRecord = Pick<GuestRecord, 'image'> &
  Partial<Pick<GuestRecord, 'disk' | 'hardware' | 'accelerator'>> & {
    guest: Omit<Guest, 'nics' | 'disks'> & Partial<Pick<Guest, 'nics' | 'disks'>>
    machineType?: string
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
    return upToDate(JSON.parse(text) as OldRecord)
  } catch (e) {
    const way = 'restore the file from a backup, or delete the instance'
    throw new Error(`its guest.json on this host is damaged (${reason(e)}): ${way}`, { cause: e })
  }
}

function upToDate({ guest: old, image, disk, hardware, accelerator, machineType }: OldRecord): GuestRecord {
  const guest: Guest = { ...old, nics: old.nics ?? [], disks: old.disks ?? [] }
  return {
    guest,
    image,
    disk: disk ?? hasDisk(guest, image),
    hardware: hardware ?? (disk === undefined ? firstHardware(guest, machineType) : undefined),
    accelerator,
  }
}

/** Whether a guest of this size is given a disk when it is made of this image. */
export const hasDisk = ({ size }: Pick<Guest, 'size'>, image: ImageFiles): boolean =>
  image.disk !== undefined || size.diskGb > 0

/** For its owner's eyes only: user data may hold passwords. */
export async function writeRecord(paths: GuestPaths, record: GuestRecord): Promise<void> {
  await writeFile(`${paths.record}.part`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 })
  await rename(`${paths.record}.part`, paths.record)
}
