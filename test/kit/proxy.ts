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

/** `framed`: the server speaks AMQP, and {@link Line.keepCancels} is of use. */
export async function startProxy(to: { host: string; port: number }, { framed = false } = {}): Promise<Line> {
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
  let rest: Buffer = Buffer.alloc(0)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      // Type, channel and size; the payload; the end mark.
      while (rest.length >= 7 && rest.length >= rest.readUInt32BE(3) + 8) {
        const frame = rest.subarray(0, rest.readUInt32BE(3) + 8)
        rest = rest.subarray(frame.length)
        const cancel = frame[0] === 1 && frame.readUInt16BE(7) === 60 && frame.readUInt16BE(9) === 30
        if (!cancel || !keeps()) this.push(frame)
      }
      done()
    },
  })
}
