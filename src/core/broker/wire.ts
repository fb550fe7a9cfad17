import { refuse } from './amqp-error.ts'

/** Reads the primitive types of AMQP 0-9-1 (specification §4.2) from a slice; 502 if the slice is too short. */
export class Reader {
  readonly #bytes: Buffer
  readonly #end: number
  position: number

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#end = end
    this.position = start
  }

  get left(): number {
    return this.#end - this.position
  }

  /** Claims `length` bytes and returns their position. */
  #take(length: number): number {
    const start = this.position
    if (length > this.#end - start) refuse('SYNTAX_ERROR', 'the frame ends inside a field')
    this.position = start + length
    return start
  }

  octet(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  short(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  long(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  /** A 64-bit number as a JavaScript number: exact up to 2^53, which no counter of ours reaches. */
  longlong(): number {
    const at = this.#take(8)
    return this.#bytes.readUInt32BE(at) * 0x1_0000_0000 + this.#bytes.readUInt32BE(at + 4)
  }

  bytes(length: number): Buffer {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  shortstr(): string {
    const length = this.octet()
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  longstr(): Buffer {
    return this.bytes(this.long())
  }
}

/** Writes the primitive types of AMQP 0-9-1 into a buffer that grows. */
export class Writer {
  #bytes: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.#length
  }

  /** Reserves `length` more bytes and returns their position. */
  #grow(length: number): number {
    const start = this.#length
    const wanted = start + length
    if (wanted > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(wanted, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, start)
      this.#bytes = larger
    }
    this.#length = wanted
    return start
  }

  octet(value: number): void {
    const at = this.#grow(1)
    this.#bytes.writeUInt8(value, at)
  }

  short(value: number): void {
    const at = this.#grow(2)
    this.#bytes.writeUInt16BE(value, at)
  }

  long(value: number): void {
    const at = this.#grow(4)
    this.#bytes.writeUInt32BE(value, at)
  }

  longlong(value: number): void {
    this.long(Math.floor(value / 0x1_0000_0000))
    this.long(value % 0x1_0000_0000)
  }

  bytes(value: Buffer): void {
    const at = this.#grow(value.length)
    value.copy(this.#bytes, at)
  }

  /** A string of at most 255 bytes; longer ones are cut, which happens only to texts for people. */
  shortstr(value: string): void {
    let encoded = Buffer.from(value)
    if (encoded.length > 255) encoded = encoded.subarray(0, 255)
    this.octet(encoded.length)
    this.bytes(encoded)
  }

  longstr(value: Buffer): void {
    this.long(value.length)
    this.bytes(value)
  }

  /** Runs `body` and puts the number of bytes that it wrote in front of them. */
  sized(body: () => void): void {
    const at = this.#grow(4)
    body()
    this.#bytes.writeUInt32BE(this.#length - at - 4, at)
  }

  /** The bytes written so far; valid until the next write. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
