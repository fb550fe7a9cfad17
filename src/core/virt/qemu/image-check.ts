import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { abortable, Semaphore } from '../../base/concurrency.ts'
import { fail } from '../../base/errors.ts'
import { replaceFile } from '../../base/whole-file.ts'
import type { QemuImg } from './qemu-img.ts'

/** Checks that run at the same time: they are for strangers' files, and guests need the processors, too. */
const checksAtOnce = 2

/** A check under way, for all who wait for it. */
type Check = { cut: AbortController; waiting: number; verdict: Promise<string> }

/**
 * The structure of images' qcow2 files, looked at once each: the verdict stands beside the file, in `FILE.checked`. However
 * many guests are made of one, and whatever became of the daemon, a damaged file costs one check.
 */
export class ImageChecks {
  readonly #qemuImg: QemuImg
  readonly #turns = new Semaphore(checksAtOnce)
  readonly #underWay = new Map<string, Check>()

  constructor(qemuImg: QemuImg) {
    this.#qemuImg = qemuImg
  }

  /** `ImageUnusable` if the file is damaged or cut off: QEMU would start a guest on it all the same. Leaked clusters are no harm. */
  async whole(path: string, signal?: AbortSignal): Promise<void> {
    const verdict = (await remembered(path)) ?? (await this.#shared(path, signal))
    if (verdict !== '') fail('ImageUnusable', { image: basename(path), why: verdict })
  }

  /** One check of a file, for all who ask; the last to leave before its end ends it. */
  async #shared(path: string, signal?: AbortSignal): Promise<string> {
    let check = this.#underWay.get(path)
    if (check === undefined || check.cut.signal.aborted) {
      check = this.#begin(path)
      this.#underWay.set(path, check)
    }
    check.waiting++
    try {
      return await (signal ? abortable(check.verdict, signal) : check.verdict)
    } finally {
      check.waiting--
      if (check.waiting === 0) check.cut.abort(new Error('nobody waits for the check any more'))
    }
  }

  #begin(path: string): Check {
    const cut = new AbortController()
    const verdict = this.#look(path, cut.signal).finally(() => {
      if (this.#underWay.get(path)?.cut === cut) this.#underWay.delete(path)
    })
    // Whoever waited may have left.
    verdict.catch(() => undefined)
    return { cut, waiting: 0, verdict }
  }

  async #look(path: string, signal: AbortSignal): Promise<string> {
    const free = await this.#turns.acquire(signal)
    try {
      const verdict = (await this.#qemuImg.check(path, signal)) ?? ''
      await remember(path, verdict)
      return verdict
    } finally {
      free()
    }
  }
}

/** Tells this file from another one of the same name. */
async function identity(path: string): Promise<string> {
  const { ino, size } = await stat(path)
  return `${ino} ${size}`
}

/** The verdict on a file that was checked before: empty if it is whole. */
async function remembered(path: string): Promise<string | undefined> {
  const text = await readFile(`${path}.checked`, 'utf8').catch(() => '')
  const [file, verdict] = text.split('\n')
  return verdict !== undefined && file === (await identity(path)) ? verdict : undefined
}

async function remember(path: string, verdict: string): Promise<void> {
  const note = `${path}.checked`
  await replaceFile(note, `${await identity(path)}\n${verdict}\n`)
}
