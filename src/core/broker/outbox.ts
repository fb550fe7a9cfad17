import type { Socket } from 'node:net'
import { frame, frameOverhead } from './frames.ts'
import type { Message } from './message.ts'

/**
 * How many bytes may wait for a peer to read before its consumers get no more messages: limits the cost of a slow
 * reader.
 */
const congestedBytes = 1 << 20
/** The same for answers, which cannot be held back; if a peer lets so many wait, we stop reading from it. */
const overflowingBytes = 4 << 20

const slabBytes = 16 << 10
/** Bodies from this size on are passed to the socket as they are instead of being copied. */
const largeBody = 16 << 10
const heartbeatFrame = Buffer.from([frame.heartbeat, 0, 0, 0, 0, 0, 0, frame.end])

/** Collects the outboxes that were written to, and flushes each once at the end of the event loop's turn. */
export class Flusher {
  #waiting: Array<() => void> = []

  /** Calls `flush` once at the end of this turn; the caller makes sure not to request it twice. */
  add(flush: () => void): void {
    if (this.#waiting.push(flush) === 1) setImmediate(() => this.#run())
  }

  #run(): void {
    const flushes = this.#waiting
    this.#waiting = []
    for (const flush of flushes) flush()
  }
}

type Hooks = {
  /** Asks for {@link Outbox.flush} at the end of this turn. */
  schedule: () => void
  /** The peer has read enough: its consumers may have more. */
  onRoom: () => void
}

/** The output to one peer: frames are assembled in slabs and written once per turn. */
export class Outbox {
  readonly #socket: Socket
  readonly #hooks: Hooks
  #slab: Buffer = Buffer.alloc(0)
  #start = 0
  #position = 0
  #ready: Buffer[] = []
  #unflushed = 0
  #scheduled = false
  #starved = false
  #written = false
  /** The largest frame that the peer accepts, in bytes with its overhead. */
  frameMax: number

  constructor(socket: Socket, frameMax: number, hooks: Hooks) {
    this.#socket = socket
    this.frameMax = frameMax
    this.#hooks = hooks
    socket.on('drain', () => this.#drained())
  }

  /** Whether consumers of this peer must wait; {@link Hooks.onRoom} is called when they need not any more. */
  get congested(): boolean {
    const congested = this.#unflushed + this.#socket.writableLength > congestedBytes
    if (congested) this.#starved = true
    return congested
  }

  /** Whether the peer reads so little that we should stop reading from it. */
  get overflowing(): boolean {
    return this.#unflushed + this.#socket.writableLength > overflowingBytes
  }

  /** Whether anything was written since the last call: heartbeats are for idle times only. */
  takeWritten(): boolean {
    const written = this.#written
    this.#written = false
    return written
  }

  raw(bytes: Buffer): void {
    const at = this.#reserve(bytes.length)
    bytes.copy(this.#slab, at)
  }

  heartbeat(): void {
    this.raw(heartbeatFrame)
  }

  method(channel: number, payload: Buffer): void {
    this.#smallFrame(frame.method, channel, payload)
  }

  /** A method with a message: its own fields, the route, the rest of its fields; then header and body. */
  content(channel: number, fields: Buffer, message: Message, rest?: Buffer): void {
    const { route, header, body } = message
    const size = fields.length + route.length + (rest?.length ?? 0)
    const at = this.#reserve(size + frameOverhead)
    const slab = this.#slab
    let position = this.#frameHead(at, frame.method, channel, size)
    position += fields.copy(slab, position)
    position += route.copy(slab, position)
    if (rest) position += rest.copy(slab, position)
    slab[position] = frame.end
    this.#smallFrame(frame.header, channel, header)
    const most = this.frameMax - frameOverhead
    for (let from = 0; from < body.length; from += most) {
      const piece = from === 0 && body.length <= most ? body : body.subarray(from, from + most)
      if (piece.length < largeBody) this.#smallFrame(frame.body, channel, piece)
      else this.#largeFrame(channel, piece)
    }
  }

  #frameHead(at: number, type: number, channel: number, size: number): number {
    const slab = this.#slab
    slab[at] = type
    slab[at + 1] = channel >>> 8
    slab[at + 2] = channel
    slab[at + 3] = size >>> 24
    slab[at + 4] = size >>> 16
    slab[at + 5] = size >>> 8
    slab[at + 6] = size
    return at + 7
  }

  #smallFrame(type: number, channel: number, payload: Buffer): void {
    const at = this.#reserve(payload.length + frameOverhead)
    const position = this.#frameHead(at, type, channel, payload.length)
    payload.copy(this.#slab, position)
    this.#slab[position + payload.length] = frame.end
  }

  #largeFrame(channel: number, payload: Buffer): void {
    const at = this.#reserve(7)
    this.#frameHead(at, frame.body, channel, payload.length)
    this.#seal()
    this.#ready.push(payload)
    this.#unflushed += payload.length
    // Reserved first: this may start another slab.
    const end = this.#reserve(1)
    this.#slab[end] = frame.end
  }

  /** Reserves `size` contiguous bytes and returns their position in the slab. */
  #reserve(size: number): number {
    if (!this.#scheduled) {
      this.#scheduled = true
      this.#hooks.schedule()
    }
    if (this.#slab.length - this.#position < size) {
      this.#seal()
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, size))
      this.#start = 0
      this.#position = 0
    }
    const at = this.#position
    this.#position += size
    this.#unflushed += size
    return at
  }

  /** Ends the current piece. The rest of its slab serves for the next: no byte is written twice. */
  #seal(): void {
    if (this.#position === this.#start) return
    this.#ready.push(this.#slab.subarray(this.#start, this.#position))
    this.#start = this.#position
  }

  /** Passes everything to the socket. */
  flush(): void {
    this.#scheduled = false
    this.#seal()
    const ready = this.#ready
    if (ready.length === 0) return
    this.#ready = []
    this.#unflushed = 0
    this.#written = true
    const socket = this.#socket
    if (!socket.writable) return
    if (ready.length === 1) socket.write(ready[0]!)
    else {
      socket.cork()
      for (const piece of ready) socket.write(piece)
      socket.uncork()
    }
    if (socket.writableLength <= congestedBytes) this.#drained()
  }

  #drained(): void {
    if (!this.#starved) return
    this.#starved = false
    this.#hooks.onRoom()
  }
}
