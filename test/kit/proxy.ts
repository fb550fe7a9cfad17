import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A line between a client and a server that a test can cut, keep cut, freeze and mend. */
export type Line = {
  readonly port: number
  /** Cuts every connection and refuses new ones. */
  down(): void
  up(): void
  /** Lets nothing through any more, in either direction, while everything stays connected. */
  freeze(): void
  readonly connections: number
  /** Bytes that clients have sent. */
  readonly sent: number
  close(): Promise<void>
}

export async function startProxy(to: { host: string; port: number }): Promise<Line> {
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
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const [near] of pairs) near.destroy()
  }
  return {
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
        far.unpipe(near)
        near.pause()
        far.pause()
      }
    },
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
}
