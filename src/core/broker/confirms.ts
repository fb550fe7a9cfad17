import { writeMethod } from './methods.ts'

/** Publisher confirms of a channel: numbers publishes, and reports their outcome, many at a time. */
export class Confirms {
  readonly #send: (payload: Buffer) => void
  #last = 0
  #from = 1

  constructor(send: (payload: Buffer) => void) {
    this.#send = send
  }

  /** One more publish has been handled. A refused one is reported at once, accepted ones with {@link flush}. */
  settle(refused: boolean): void {
    if (!refused) {
      this.#last++
      return
    }
    this.flush()
    this.#last++
    this.#from = this.#last + 1
    this.#send(writeMethod('basic.nack', { deliveryTag: this.#last, multiple: false, requeue: false }))
  }

  /** Confirms everything accepted so far with one method. */
  flush(): void {
    if (this.#from > this.#last) return
    const multiple = this.#from < this.#last
    this.#from = this.#last + 1
    this.#send(writeMethod('basic.ack', { deliveryTag: this.#last, multiple }))
  }
}
