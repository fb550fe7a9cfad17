import { AmqpError } from './amqp-error.ts'

/**
 * A frame is type, channel, payload size, payload, end octet.
 * @see AMQP 0-9-1 specification §4.2.3
 */
export const frame = { method: 1, header: 2, body: 3, heartbeat: 8, end: 0xce } as const

/** Bytes of a frame around its payload. */
export const frameOverhead = 8
/** The smallest frame-max that a peer may request. */
export const frameMinSize = 4096

/** Receives each whole frame; false stops the reading for good. The bytes are valid only during the call. */
export type FrameSink = (type: number, channel: number, payload: Buffer) => boolean

/** Cuts a stream of chunks into frames. Malformed ones are a frame error (501), which closes the connection. */
export class FrameReader {
  readonly #sink: FrameSink
  #parts: Buffer[] = []
  #held = 0
  #wanted = 7
  /** The largest frame allowed, in bytes with its overhead. */
  frameMax: number

  constructor(frameMax: number, sink: FrameSink) {
    this.frameMax = frameMax
    this.#sink = sink
  }

  push(chunk: Buffer): void {
    let bytes = chunk
    if (this.#held > 0) {
      this.#parts.push(chunk)
      this.#held += chunk.length
      // Wait for the whole frame before its parts are joined, so that a large one is copied once.
      if (this.#held < this.#wanted) return
      bytes = Buffer.concat(this.#parts, this.#held)
      this.#parts = []
      this.#held = 0
    }
    const position = this.#cut(bytes)
    if (position === undefined || position === bytes.length) return
    this.#parts = [bytes.subarray(position)]
    this.#held = bytes.length - position
  }

  /** Passes on the whole frames in `bytes`; returns the offset of the rest, undefined if the sink stopped. */
  #cut(bytes: Buffer): number | undefined {
    let position = 0
    this.#wanted = 7
    while (bytes.length - position >= 7) {
      const type = bytes[position]!
      const size = bytes.readUInt32BE(position + 3)
      if (type !== frame.method && type !== frame.header && type !== frame.body && type !== frame.heartbeat) {
        throw new AmqpError('FRAME_ERROR', `unknown frame type ${type}`)
      }
      if (size > this.frameMax - frameOverhead) {
        throw new AmqpError('FRAME_ERROR', `frame of ${size + frameOverhead} bytes, frame_max is ${this.frameMax}`)
      }
      const start = position + 7
      const end = start + size
      if (end >= bytes.length) {
        this.#wanted = size + frameOverhead
        break
      }
      if (bytes[end] !== frame.end) throw new AmqpError('FRAME_ERROR', 'frame without its end octet')
      if (!this.#sink(type, bytes.readUInt16BE(position + 1), bytes.subarray(start, end))) return undefined
      position = end + 1
    }
    return position
  }
}
