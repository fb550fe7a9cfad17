import type { Socket } from 'node:net'
import type { Memory } from './memory.ts'
import type { Outbox } from './outbox.ts'

/** How much a peer may still publish after it was told that the broker is full; after that we stop reading from it. */
const graceBytes = 1 << 20

/** Flow control of one peer: while it does not read what we send, and while it fills a broker that is full. */
export class Flow {
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #alarm: Pick<Memory, 'alarmed'>
  readonly #notify: (blocked: boolean) => void
  readonly #held = new Set<'full' | 'slow'>()
  #notified = false
  #publishedWhileFull = 0
  /** Whether the peer understands connection.blocked. */
  wantsBlocked = false

  constructor(socket: Socket, outbox: Outbox, alarm: Pick<Memory, 'alarmed'>, notify: (blocked: boolean) => void) {
    this.#socket = socket
    this.#outbox = outbox
    this.#alarm = alarm
    this.#notify = notify
  }

  /** Whether we do not read from the peer because the broker is full: then its silence is not its fault. */
  get heldBack(): boolean {
    return this.#held.has('full')
  }

  /** To be called after each chunk from the peer: if its answers pile up, we stop reading from it. */
  took(): void {
    if (this.#outbox.overflowing) this.#hold('slow')
  }

  /** To be called for each message that the peer publishes. */
  published(bytes: number): void {
    if (!this.#alarm.alarmed) return
    this.#publishedWhileFull += bytes
    if (this.wantsBlocked && !this.#notified) {
      this.#notified = true
      this.#notify(true)
    }
    // A peer that heeds the warning is still read: its acknowledgements empty the broker.
    if (this.#publishedWhileFull > graceBytes) this.#hold('full')
  }

  /** The peer has read its data. */
  drained(): void {
    this.#resume('slow')
  }

  /** The broker has room again. */
  unblock(): void {
    this.#publishedWhileFull = 0
    if (this.#notified) this.#notify(false)
    this.#notified = false
    this.#resume('full')
  }

  #hold(why: 'full' | 'slow'): void {
    this.#held.add(why)
    this.#socket.pause()
  }

  #resume(why: 'full' | 'slow'): void {
    if (this.#held.delete(why) && this.#held.size === 0) this.#socket.resume()
  }
}
