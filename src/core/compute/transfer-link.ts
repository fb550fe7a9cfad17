import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'

/** What one frame of a transfer says. Who may send it, and when, is in {@link ./transfer.ts}. */
export const frames = {
  hello: 1,
  challenge: 2,
  proof: 3,
  accept: 4,
  start: 5,
  extent: 6,
  end: 7,
  done: 8,
  refused: 9,
  alive: 10,
} as const
type FrameType = (typeof frames)[keyof typeof frames]

/** The most data of one extent, in bytes. */
export const extentMax = 1 << 20
/** Before the offset and the data of an extent the frame has its type and its length. */
const headBytes = 5
export const offsetBytes = 8

/** The longest frame of a peer that has not proved itself, and of one that has. */
export const unprovenMax = 512
export const provenMax = extentMax + offsetBytes

/** All that is read of a peer that has not proved itself, in bytes. */
const unprovenBytes = 4096
/** How long a connection that has ended on this side waits for the end of the other, in ms. */
const lingerMs = 5_000

export const u64 = (n: number): Buffer => {
  const out = Buffer.alloc(8)
  out.writeBigUInt64BE(BigInt(n))
  return out
}

/** A number of 64 bits at the start of a frame. Fails if it is none, or no number that we can count to. */
export function readU64(body: Buffer): number {
  const n = body.length < 8 ? -1n : body.readBigUInt64BE()
  if (n < 0n || n > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error('what came is no transfer')
  return Number(n)
}

/**
 * What both sides know once they have exchanged their nonces. All that one proves to the other is a MAC under the secret
 * of the transfer, over what is said and all of this: so it proves nothing on another connection.
 */
export type Session = { secret: string; operation: string; senderNonce: Buffer; receiverNonce: Buffer }

export function macOf(session: Session, label: string, ...parts: readonly Buffer[]): Buffer {
  const mac = createHmac('sha256', session.secret)
  for (const part of [
    Buffer.from(label),
    Buffer.from(session.operation),
    session.senderNonce,
    session.receiverNonce,
    ...parts,
  ]) {
    mac.update(u64(part.length)).update(part)
  }
  return mac.digest()
}

export const macBytes = 32
export const sameMac = (given: Buffer, right: Buffer): boolean =>
  given.length === right.length && timingSafeEqual(given, right)

/** One end of a connection, as frames. It holds no more than one frame and what the kernel hands over at once. */
export class Link {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #chunks: AsyncIterator<Buffer>
  #unread: Buffer[] = []
  #unreadBytes = 0
  #mayTake = unprovenBytes
  #why: Error | undefined
  #stopTelling = () => {}

  constructor(socket: Socket, { clock, idleMs }: { clock: Clock; idleMs: number }) {
    this.#socket = socket
    this.#clock = clock
    this.#idleMs = idleMs
    this.#chunks = socket[Symbol.asyncIterator]()
    // Whoever reads or writes hears of it.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#stopTelling())
  }

  /** Ends the connection; whoever waits for it fails with `why`. */
  destroy(why: Error): void {
    this.#why ??= why
    this.#socket.destroy()
  }

  /** Ends our side once all that was written has been sent; the other side has a moment to read it. */
  end(): void {
    this.#socket.end()
    this.#clock.after(lingerMs, () => this.#socket.destroy())
  }

  /**
   * The other side has proved itself: it may send as much as it likes, and from now on is told now and then that this
   * side lives, however long its work takes.
   */
  proven(): void {
    this.#mayTake = Number.POSITIVE_INFINITY
    this.#sendAlive()
  }

  #sendAlive(): void {
    this.#stopTelling = this.#clock.after(this.#idleMs / 4, () => {
      if (this.#socket.destroyed || this.#socket.writableEnded) return
      // What waits to be sent tells as much.
      if (!this.#socket.writableNeedDrain) this.#socket.write(frameHead(frames.alive, 0))
      this.#sendAlive()
    })
  }

  /** Sends a frame. Resolves when the connection has room for the next. */
  async write(type: FrameType, ...parts: readonly Buffer[]): Promise<void> {
    this.#check()
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    this.#socket.cork()
    this.#socket.write(frameHead(type, length))
    for (const part of parts) this.#socket.write(part)
    this.#socket.uncork()
    if (this.#socket.writableNeedDrain) await this.#drained()
  }

  /** The next frame that says something, of `max` bytes at most. Fails if the other side is silent for too long. */
  async read(max: number): Promise<{ type: number; body: Buffer }> {
    for (;;) {
      const head = await this.#take(headBytes)
      const type = head.readUInt8(0)
      const length = head.readUInt32BE(1)
      if (length > max) throw new Error('what came is no transfer')
      const body = await this.#take(length)
      if (type !== frames.alive) return { type, body }
    }
  }

  /** The next frame, which must be of this type. */
  async expect(type: FrameType, max: number): Promise<Buffer> {
    const frame = await this.read(max)
    if (frame.type !== type) throw new Error('what came is no transfer')
    return frame.body
  }

  #check(): void {
    if (this.#why) throw this.#why
    if (this.#socket.destroyed) throw new Error('the connection was lost')
  }

  async #take(bytes: number): Promise<Buffer> {
    this.#mayTake -= bytes
    if (this.#mayTake < 0) throw new Error('too much came before the proof')
    while (this.#unreadBytes < bytes) {
      const chunk = await this.#chunk()
      this.#unread.push(chunk)
      this.#unreadBytes += chunk.length
    }
    const all = this.#unread.length === 1 ? this.#unread[0]! : Buffer.concat(this.#unread)
    this.#unread = all.length > bytes ? [all.subarray(bytes)] : []
    this.#unreadBytes = all.length - bytes
    return all.subarray(0, bytes)
  }

  async #chunk(): Promise<Buffer> {
    this.#check()
    const seconds = this.#idleMs / 1000
    const stop = this.#clock.after(this.#idleMs, () =>
      this.destroy(new Error(`the other host was silent for ${seconds} s`)),
    )
    try {
      const next = await this.#chunks.next()
      if (!next.done) return next.value
    } catch (e) {
      if (!this.#why) throw new Error('the connection was lost', { cause: e })
    } finally {
      stop()
    }
    throw this.#why ?? new Error('the connection was lost')
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = () => {
        this.#socket.off('drain', over)
        this.#socket.off('close', over)
        if (this.#socket.destroyed) reject(this.#why ?? new Error('the connection was lost'))
        else resolve()
      }
      this.#socket.on('drain', over)
      this.#socket.on('close', over)
    })
  }
}

function frameHead(type: FrameType, length: number): Buffer {
  const head = Buffer.alloc(headBytes)
  head.writeUInt8(type, 0)
  head.writeUInt32BE(length, 1)
  return head
}
