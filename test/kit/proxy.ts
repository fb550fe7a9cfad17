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
  /** From now on, what the server delivers under this routing key is kept from the client. */
  swallows: string | undefined
  readonly connections: number
  /** Bytes that clients have sent. */
  readonly sent: number
  close(): Promise<void>
}

/**
 * `framed`: the server speaks AMQP, and {@link Line.keepCancels} and {@link Line.swallows} are of use. `watch` is shown each frame that a client sends.
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
    const back = framed ? far.pipe(withoutSome(() => line)) : far
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
    swallows: undefined,
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

/** Lets a server's AMQP frames through, but for basic.cancel (class 60, method 30) and deliveries (method 60) as the line says. */
function withoutSome(line: () => Pick<Line, 'keepCancels' | 'swallows'>): Transform {
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      take(chunk)
      done()
    },
  })
  /** How many bytes of a swallowed body are still to come, by channel; undefined before its header. */
  const swallowing = new Map<number, number | undefined>()
  const take = framesOf((frame) => {
    const [type, channel] = [frame[0], frame.readUInt16BE(1)]
    if (swallowing.has(channel) && type !== 1) {
      const left = type === 2 ? Number(frame.readBigUInt64BE(11)) : (swallowing.get(channel) ?? 0) - (frame.length - 8)
      if (left > 0) swallowing.set(channel, left)
      else swallowing.delete(channel)
      return
    }
    const method = type === 1 && frame.readUInt16BE(7) === 60 ? frame.readUInt16BE(9) : undefined
    if (method === 30 && line().keepCancels) return
    if (method === 60 && routingKey(frame) === line().swallows) return void swallowing.set(channel, undefined)
    through.push(frame)
  })
  return through
}

/** Of basic.deliver: consumer tag, delivery tag (8 bytes), redelivered (1), exchange and routing key, texts as short strings. */
function routingKey(frame: Buffer): string {
  const tagEnd = 12 + frame.readUInt8(11)
  const exchangeEnd = tagEnd + 10 + frame.readUInt8(tagEnd + 9)
  return frame.subarray(exchangeEnd + 1, exchangeEnd + 1 + frame.readUInt8(exchangeEnd)).toString()
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
