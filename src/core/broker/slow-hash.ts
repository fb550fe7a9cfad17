import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { KeyedMutex, Semaphore } from '../base/concurrency.ts'

const derive = promisify(scrypt) as (password: string, salt: Buffer, length: number) => Promise<Buffer>

/** Hashes at once: each takes a thread of the pool that reads and writes all files of this process, and 16 MiB. */
const atOnce = 2
/** Hashes that wait: in all, and for one address. */
const mostWaiting = 16
const mostWaitingFromOneAddress = 4

/**
 * The slow hash (scrypt, RFC 7914) under which earlier versions kept passwords, so that strangers cannot keep others from
 * logging in: few at once, one at a time for each address, and not more than a short queue.
 */
export class SlowHash {
  readonly #turns = new Semaphore(atOnce)
  readonly #addresses = new KeyedMutex()
  readonly #waiting = new Map<string, number>()
  #count = 0

  /** The hash of a password; undefined if too many wait for theirs already. */
  async of(password: string, salt: Buffer, bytes: number, address: string): Promise<Buffer | undefined> {
    const waiting = this.#waiting.get(address) ?? 0
    if (this.#count >= mostWaiting || waiting >= mostWaitingFromOneAddress) return undefined
    this.#count++
    this.#waiting.set(address, waiting + 1)
    const leave = await this.#addresses.acquire(address)
    const giveBack = await this.#turns.acquire()
    this.#count--
    this.#leave(address)
    try {
      return await derive(password, salt, bytes)
    } finally {
      giveBack()
      leave()
    }
  }

  #leave(address: string): void {
    const left = (this.#waiting.get(address) ?? 1) - 1
    if (left > 0) this.#waiting.set(address, left)
    else this.#waiting.delete(address)
  }
}
