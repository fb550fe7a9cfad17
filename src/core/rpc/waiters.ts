import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/errors.ts'

/** A sent request: its target, and how to read its answer. */
export type Asked = {
  readonly target: string
  /** The exchange that it goes to; the one for its target if unset. */
  readonly exchange?: string
  readonly method: string
  readonly requestId: string
  readonly timeoutMs: number
  /** Turns the reply into the answer; may throw. */
  accept(result: unknown): unknown
}

type Waiter = {
  readonly asked: Asked
  readonly resolve: (value: unknown) => void
  readonly reject: (e: unknown) => void
  partial: unknown
  deadline: number
  cancel: () => void
}

/** The open calls of a process, by message id. */
export class Waiters {
  readonly #clock: Clock
  readonly #blocked: (asked: Asked) => Failure | undefined
  readonly #waiters = new Map<string, Waiter>()

  /** `blocked` returns why the broker accepts no messages, if so: then that is why there is no answer. */
  constructor(clock: Clock, blocked: (asked: Asked) => Failure | undefined) {
    this.#clock = clock
    this.#blocked = blocked
  }

  /** Waits for the answer; `CallTimeout` or `BusBlocked` if there is none in time. */
  wait(id: string, asked: Asked): Promise<unknown> {
    const { target, method, timeoutMs } = asked
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(timeoutMs, () => {
        this.#waiters.delete(id)
        reject(this.#blocked(asked) ?? new Failure('CallTimeout', { target, method, seconds: timeoutMs / 1000 }))
      })
      const deadline = this.#clock.now() + timeoutMs
      this.#waiters.set(id, { asked, resolve, reject, partial: null, deadline, cancel })
    })
  }

  find(id: unknown): Asked | undefined {
    return typeof id === 'string' ? this.#waiters.get(id)?.asked : undefined
  }

  /** A partial result: peers before 2014 send the result first and the ending after it. */
  partial(id: string, result: unknown): void {
    const waiter = this.#waiters.get(id)
    if (waiter !== undefined) waiter.partial = result
  }

  answer(id: string, result: unknown): void {
    const waiter = this.#take(id)
    if (waiter === undefined) return
    try {
      waiter.resolve(waiter.asked.accept(result ?? waiter.partial))
    } catch (e) {
      waiter.reject(e)
    }
  }

  fail(id: string, e: unknown): void {
    this.#take(id)?.reject(e)
  }

  failAll(e: unknown): void {
    for (const id of [...this.#waiters.keys()]) this.fail(id, e)
  }

  /**
   * The connection is lost: requests may be lost, or their answers may still come to the same queue. Waits for
   * `graceMs` and no longer, then fails with `why`.
   */
  hurry(graceMs: number, why: () => Failure): void {
    const latest = this.#clock.now() + graceMs
    for (const [id, waiter] of this.#waiters) {
      if (waiter.deadline <= latest) continue
      waiter.cancel()
      waiter.deadline = latest
      waiter.cancel = this.#clock.after(graceMs, () => this.fail(id, why()))
    }
  }

  #take(id: string): Waiter | undefined {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return undefined
    this.#waiters.delete(id)
    waiter.cancel()
    return waiter
  }
}
