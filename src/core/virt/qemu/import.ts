import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, statfs } from 'node:fs/promises'
import { fail, isFailure, reason } from '../../base/errors.ts'
import type { DiskWriter, Guest, ImageFiles } from '../driver.ts'
import { checkGeneration } from '../generation.ts'
import { checkCreatable } from '../image.ts'
import { checkReplaceable } from '../moving.ts'
import { type Bundle, type Part, type PartName, readBundleHead } from './bundle.ts'
import { rebaseDisk } from './disk.ts'
import type { QemuHost } from './host.ts'
import { type GuestPaths, instancesDir } from './paths.ts'
import type { QemuImg } from './qemu-img.ts'
import { readRecord, writeRecord } from './record.ts'

const partNames: readonly PartName[] = ['disk', 'console']
const partPath = (paths: GuestPaths, name: PartName): string => `${paths[name]}.part`

/** The guests that other hosts are sending to this one. */
export class Imports {
  readonly #host: QemuHost
  readonly #qemuImg: QemuImg
  readonly #underWay = new Map<string, Import>()

  constructor(host: QemuHost, qemuImg: QemuImg) {
    this.#host = host
    this.#qemuImg = qemuImg
  }

  /** Begins an import; one of the same guest that is under way ends. To be called as an action on the guest. */
  async begin(guest: Guest, image: ImageFiles): Promise<DiskWriter> {
    checkCreatable(image)
    await checkOwner(this.#host, guest)
    await this.#underWay.get(guest.id)?.leave()
    const paths = this.#host.paths(guest.id)
    await mkdir(paths.dir, { recursive: true, mode: 0o700 })
    const { id } = guest
    const current = new Import(this.#host, this.#qemuImg, guest, image, () => {
      if (this.#underWay.get(id) === current) this.#underWay.delete(id)
    })
    this.#underWay.set(id, current)
    return current
  }

  /** Ends the imports under way; what came of them is left for the next life of the daemon to remove. */
  async close(): Promise<void> {
    await Promise.all([...this.#underWay.values()].map((one) => one.leave()))
  }

  /** Removes what a daemon that was killed had received in part. */
  async sweep(): Promise<void> {
    const dir = instancesDir(this.#host.stateDir)
    for (const id of (await readdir(dir)).filter((name) => name.length === 36 && !this.#underWay.has(name))) {
      await removeParts(this.#host.paths(id))
    }
  }
}

/** Fails if the guest runs here, or if a newer owner of the instance has been here. */
async function checkOwner(host: QemuHost, guest: Guest): Promise<void> {
  checkGeneration((await readRecord(host.paths(guest.id)))?.guest, guest)
  checkReplaceable((await host.machine(guest.id))?.power ?? (await host.power(guest.id)))
}

async function removeParts(paths: GuestPaths): Promise<void> {
  for (const name of partNames) await rm(partPath(paths, name), { force: true })
  // Only if nothing else is there: no guest.
  await rmdir(paths.dir).catch(() => undefined)
}

class Import implements DiskWriter {
  readonly #host: QemuHost
  readonly #qemuImg: QemuImg
  readonly #guest: Guest
  readonly #image: ImageFiles
  readonly #onEnd: () => void
  readonly #paths: GuestPaths
  #bundle: Bundle | undefined
  readonly #files = new Map<PartName, FileHandle>()
  #over = false

  constructor(host: QemuHost, qemuImg: QemuImg, guest: Guest, image: ImageFiles, onEnd: () => void) {
    this.#host = host
    this.#qemuImg = qemuImg
    this.#guest = guest
    this.#image = image
    this.#onEnd = onEnd
    this.#paths = host.paths(guest.id)
  }

  async write(offset: number, data: Buffer): Promise<void> {
    try {
      this.#checkOpen()
      if (this.#bundle === undefined) return await this.#begin(offset, data)
      const end = offset + data.length
      const part = this.#bundle.parts.find((one) => offset >= one.offset && end <= one.offset + one.bytes)
      if (!part) throw new Error('what came lies outside of the files that it listed')
      await writeAll(this.#file(part), data, offset - part.offset)
    } catch (e) {
      if (isFailure(e)) throw e
      fail('DriverFailed', { action: 'store what came of the guest', why: reason(e) }, e)
    }
  }

  async restart(): Promise<void> {
    this.#checkOpen()
    await this.#closeFiles()
    this.#bundle = undefined
  }

  complete(sizeBytes: number): Promise<void> {
    return this.#host.action(this.#guest.id, 'take up the guest that came', async () => {
      this.#checkOpen()
      if (sizeBytes !== (this.#bundle?.lengthBytes ?? 0)) throw new Error('it came only in part')
      await checkOwner(this.#host, this.#guest)
      const disk = this.#bundle?.parts.some(({ name }) => name === 'disk') ?? false
      if (this.#image.disk && !disk) throw new Error('it came without its disk')
      await this.#finishFiles()
      if (disk) await rebaseDisk(this.#qemuImg, partPath(this.#paths, 'disk'), this.#image.disk)
      await this.#moveIn(disk)
      this.#over = true
      this.#onEnd()
    })
  }

  async abort(): Promise<void> {
    if (this.#over) return
    await this.leave()
    await removeParts(this.#paths)
  }

  /** Ends without removing anything: another import of this guest follows, and takes the same names. */
  async leave(): Promise<void> {
    if (this.#over) return
    this.#over = true
    this.#onEnd()
    await this.#closeFiles()
  }

  #checkOpen(): void {
    if (this.#over) throw new Error('the import of the guest is over')
  }

  async #begin(offset: number, data: Buffer): Promise<void> {
    const bundle = readBundleHead(offset === 0 ? data : Buffer.alloc(0))
    const { bavail, bsize } = await statfs(this.#paths.dir)
    if (bundle.dataBytes > bavail * bsize) {
      const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1)
      throw new Error(`${gib(bundle.dataBytes)} GiB free disk needed, ${gib(bavail * bsize)} GiB there`)
    }
    for (const { name } of bundle.parts) {
      this.#files.set(name, await open(partPath(this.#paths, name), 'w', 0o600))
    }
    this.#bundle = bundle
  }

  #file({ name }: Part): FileHandle {
    const file = this.#files.get(name)
    if (!file) throw new Error('the import of the guest is over')
    return file
  }

  /** Gives each file its length, which may end in zeros that were not sent, and sees it written. */
  async #finishFiles(): Promise<void> {
    for (const part of this.#bundle?.parts ?? []) {
      const file = this.#file(part)
      await file.truncate(part.bytes)
      await file.sync()
    }
    await this.#closeFiles()
  }

  async #closeFiles(): Promise<void> {
    const files = [...this.#files.values()]
    this.#files.clear()
    await Promise.all(files.map((file) => file.close()))
  }

  /** The record last: until it is there, the guest is what it was here before, or not here. */
  async #moveIn(disk: boolean): Promise<void> {
    const paths = this.#paths
    await rm(paths.memory, { force: true })
    await rm(paths.crashed, { force: true })
    for (const { name } of this.#bundle?.parts ?? []) await rename(partPath(paths, name), paths[name])
    await writeRecord(paths, { guest: this.#guest, image: this.#image, disk })
    const dir = await open(paths.dir, 'r')
    await dir.sync().finally(() => dir.close())
  }
}

async function writeAll(file: FileHandle, data: Buffer, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, at + done)
    done += bytesWritten
  }
}
