import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

/** A line between a client and a server that a test can cut, keep cut, freeze and mend. */
export type Line = {
  readonly port: number
  /** Cuts every connection and refuses new ones. */
  down(): void
  up(): void
  /** Lets nothing through any more, in either direction, while everything stays connected. */
  freeze(): void
  /** From now on, whether the server's word that a queue was taken away (basic.cancel) is kept from the client. */
  keepCancels: boolean
  readonly connections: number
  /** Bytes that clients have sent. */
  readonly sent: number
  close(): Promise<void>
}

/**
 * `framed`: the server speaks AMQP, and {@link Line.keepCancels} is of use. `watch` is shown each frame that a client sends.
 */
export async function startProxy(
  to: { host: string; port: number },
  { framed = false, watch }: { framed?: boolean; watch?: (frame: Buffer) => void } = {},
): Promise<Line> {
  const pairs = new Set<[Socket, Socket]>()
  let refusing = false
  let sent = 0
  const server = createServer({ noDelay: true }, (near) => {
    near.on('error', () => undefined)
    if (refusing) return void near.destroy()
    const far = connect({ ...to, noDelay: true })
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    far.on('error', () => near.destroy())
    near.on('close', () => {
      pairs.delete(pair)
      far.destroy()
    })
    far.on('close', () => near.destroy())
    near.on('data', (chunk) => {
      sent += chunk.length
    })
    if (watch !== undefined) near.on('data', framesOf(watch, 'AMQP0091'.length))
    near.pipe(far)
    const back = framed ? far.pipe(withoutCancels(() => line.keepCancels)) : far
    back.pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const [near] of pairs) near.destroy()
  }
  const line: Line = {
    port: (server.address() as AddressInfo).port,
    down() {
      refusing = true
      cut()
    },
    up() {
      refusing = false
    },
    freeze() {
      for (const [near, far] of pairs) {
        near.unpipe(far)
        far.unpipe()
        near.pause()
        far.pause()
      }
    },
    keepCancels: false,
    get connections() {
      return pairs.size
    },
    get sent() {
      return sent
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return line
}

/** Lets a server's AMQP frames through, but for basic.cancel (class 60, method 30) while `keeps()`. */
function withoutCancels(keeps: () => boolean): Transform {
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      take(chunk)
      done()
    },
  })
  const take = framesOf((frame) => {
    const cancel = frame[0] === 1 && frame.readUInt16BE(7) === 60 && frame.readUInt16BE(9) === 30
    if (!cancel || !keeps()) through.push(frame)
  })
  return through
}

/** Cuts a stream of chunks into AMQP frames; the first `skip` bytes are a greeting. */
function framesOf(take: (frame: Buffer) => void, skip = 0): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  let greeting = skip
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const passed = Math.min(greeting, rest.length)
    greeting -= passed
    rest = rest.subarray(passed)
    // Type, channel and size; the payload; the end mark.
    while (rest.length >= 7 && rest.length >= rest.readUInt32BE(3) + 8) {
      const frame = rest.subarray(0, rest.readUInt32BE(3) + 8)
      rest = rest.subarray(frame.length)
      take(frame)
    }
  }
}

/** A queue as a client declares it. */
export type Declared = { queue: string; durable: boolean; exclusive: boolean; autoDelete: boolean }

/** A line to an AMQP server that notes each queue.declare (class 50, method 10) that a client sends; passive ones apart. */
export async function startRecordingProxy(to: { port: number }): Promise<Line & { declared(): readonly Declared[] }> {
  const declared: Declared[] = []
  const line = await startProxy({ host: '127.0.0.1', port: to.port }, { watch: (frame) => note(frame) })
  const note = (frame: Buffer): void => {
    if (frame[0] !== 1 || frame.readUInt16BE(7) !== 50 || frame.readUInt16BE(9) !== 10) return
    // A reserved short, the name as a short string, and the bits: passive, durable, exclusive, auto-delete.
    const length = frame.readUInt8(13)
    const queue = frame.subarray(14, 14 + length).toString()
    const bits = frame.readUInt8(14 + length)
    if (bits & 1) return
    declared.push({ queue, durable: (bits & 2) > 0, exclusive: (bits & 4) > 0, autoDelete: (bits & 8) > 0 })
  }
  return Object.assign(line, { declared: () => declared })
}
