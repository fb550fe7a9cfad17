import { readFile, rename, writeFile } from 'node:fs/promises'
import type { Guest, ImageFiles } from '../driver.ts'
import type { Accelerator } from './arguments.ts'
import type { GuestPaths } from './paths.ts'

/** What a guest starts with, as it is written in its directory. */
export type GuestRecord = {
  guest: Guest
  image: ImageFiles
  /** QEMU's name for the kind of machine that the saved memory is of; a newer QEMU must play the same to take it up. */
  machineType?: string
  /** What its last machine was started with. */
  accelerator?: Accelerator
}

/** Undefined where this host has no such guest. */
export async function readRecord(paths: GuestPaths): Promise<GuestRecord | undefined> {
  try {
    return JSON.parse(await readFile(paths.record, 'utf8')) as GuestRecord
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw e
  }
}

/** For its owner's eyes only: user data may hold passwords. */
export async function writeRecord(paths: GuestPaths, record: GuestRecord): Promise<void> {
  await writeFile(`${paths.record}.part`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 })
  await rename(`${paths.record}.part`, paths.record)
}
