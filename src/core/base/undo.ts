import type { Log } from './log.ts'

/**
 * The way back of a deed in several steps: push each step's undoing before the step, call {@link keep} after the last.
 * `await using undo = new Undo(log)` undoes in reverse order when the block ends without keep. An undoing must be content
 * to find nothing to undo; one that fails is logged and does not hinder the others.
 */
export class Undo implements AsyncDisposable {
  readonly #steps: Array<() => Promise<unknown> | unknown> = []
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  push(step: () => Promise<unknown> | unknown): void {
    this.#steps.push(step)
  }

  keep(): void {
    this.#steps.length = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step()
      } catch (e) {
        this.#log.warn({ err: e }, 'undoing failed')
      }
    }
  }
}
