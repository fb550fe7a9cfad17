import { createHash } from 'node:crypto'
import { abortable, deferred } from '../base/concurrency.ts'
import { Failure, fail, isFailure, reason } from '../base/errors.ts'
import type { DiskWriter } from '../virt/driver.ts'
import {
  extentMax,
  frames,
  type Link,
  macBytes,
  macOf,
  offsetBytes,
  provenMax,
  readU64,
  type Session,
  sameMac,
  u64,
} from './transfer-link.ts'
import type { Report } from './transfer-progress.ts'

/** The longest reason that is sent to the other host, in letters. */
const reasonMax = 1000

/** A transfer that this host waits for. Any number of connections may try it, one after the other, until one is whole. */
export class Expected {
  readonly operation: string
  readonly secret: string
  /** Resolves when the guest is here; rejects when it was cancelled before. */
  readonly done: Promise<void>
  /** Undefined once the guest is here. */
  #writer: DiskWriter | undefined
  readonly #report: Report
  readonly #cancelled = new AbortController()
  #settle: { resolve: () => void; reject: (e: Error) => void } = { resolve: () => {}, reject: () => {} }
  #link: Link | undefined
  #turn: Promise<void> = Promise.resolve()

  constructor(ticket: { operation: string; secret: string }, writer: DiskWriter, report: Report) {
    this.operation = ticket.operation
    this.secret = ticket.secret
    this.#writer = writer
    this.#report = report
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // Whoever cancels need not wait for it.
    this.done.catch(() => undefined)
  }

  /** Takes what a sender that has proved itself sends, from the start. A connection before it has lost its turn. */
  async receive(link: Link, session: Session): Promise<void> {
    this.#link?.destroy(new Error('another connection took its place'))
    this.#link = link
    const before = this.#turn
    const turn = deferred()
    this.#turn = turn.promise
    try {
      await before
      await this.#serve(link, session)
    } finally {
      turn.resolve()
    }
  }

  /** Ends it, unless it is done: nothing is left of what came. */
  async cancel(): Promise<void> {
    this.#cancelled.abort(new Error('the transfer was cancelled'))
    await this.#turn
    if (!this.#writer) return
    await this.#writer.abort()
    this.#settle.reject(new Failure('TransferFailed', { why: 'it was cancelled' }))
  }

  async #serve(link: Link, session: Session): Promise<void> {
    link.proven()
    try {
      const writer = this.#writer
      if (writer) {
        this.#cancelled.signal.throwIfAborted()
        await writer.restart()
      }
      await link.write(frames.accept, macOf(session, 'receiver'))
      // A sender that comes again did not hear that it was done.
      if (writer) await this.#take(link, session, writer)
      await link.write(frames.done, macOf(session, 'done'))
      link.end()
    } catch (e) {
      const why = Buffer.from(whyOf(e).slice(0, reasonMax))
      await link.write(frames.refused, macOf(session, 'refused', why), why).catch(() => undefined)
      link.end()
      throw e
    }
  }

  async #take(link: Link, session: Session, writer: DiskWriter): Promise<void> {
    const { signal } = this.#cancelled
    const totalBytes = readU64(await abortable(link.expect(frames.start, provenMax), signal))
    const sum = createHash('sha256')
    let doneBytes = 0
    for (;;) {
      const { type, body } = await abortable(link.read(provenMax), signal)
      if (type === frames.end) {
        await this.#complete(session, body, sum.digest(), writer)
        this.#report({ doneBytes, totalBytes }, 'last')
        return
      }
      if (type !== frames.extent || body.length > extentMax + offsetBytes) throw new Error('what came is no transfer')
      sum.update(u64(body.length)).update(body)
      const data = body.subarray(offsetBytes)
      await writer.write(readU64(body), data)
      doneBytes += data.length
      this.#report({ doneBytes, totalBytes })
    }
  }

  async #complete(session: Session, end: Buffer, sum: Buffer, writer: DiskWriter): Promise<void> {
    const length = end.subarray(0, 8)
    if (!sameMac(end.subarray(8, 8 + macBytes), macOf(session, 'end', length, sum))) {
      fail('TransferFailed', { why: 'what came is not what was sent' })
    }
    await writer.complete(readU64(length))
    this.#writer = undefined
    this.#settle.resolve()
  }
}

/** The reason alone: the other host says by itself what could not be done. */
const whyOf = (e: unknown): string => (isFailure(e, 'TransferFailed') ? e.params.why : reason(e))
