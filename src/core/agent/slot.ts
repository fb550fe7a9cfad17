import type { Release, Semaphore } from '../base/concurrency.ts'

/** The slot of a leg that is being carried out; without `slots` it needs none. */
export class Slot {
  readonly #slots: Semaphore | undefined
  readonly #signal: AbortSignal
  #release: Release | undefined

  /** `signal` ends the waiting for a slot. */
  constructor(slots: Semaphore | undefined, signal: AbortSignal) {
    this.#slots = slots
    this.#signal = signal
  }

  async take(): Promise<void> {
    this.#release = await this.#slots?.acquire(this.#signal)
  }

  free(): void {
    this.#release?.()
    this.#release = undefined
  }

  /** Gives the slot to others while `work` runs, and waits for one afterwards. */
  async without<T>(work: () => Promise<T>): Promise<T> {
    this.free()
    try {
      return await work()
    } finally {
      await this.take()
    }
  }
}
