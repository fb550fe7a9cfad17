import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createSecureServer } from 'node:tls'
import { fail } from '../base/errors.ts'
import type { Tls } from '../base/tls.ts'

/**
 * An address to listen on: a TCP port (0 for any free one; loopback without a host), with or without TLS, or a unix
 * socket. With `pastAlarm`, whoever connects there may publish while the broker is full: the way to empty it.
 */
export type ListenAddress = { host?: string; port: number; tls?: boolean } | { path: string; pastAlarm?: boolean }

export type Listener = {
  /** The real address. */
  address: { host: string; port: number } | { path: string }
  /** Accepts no more connections; open ones stay. */
  close(): Promise<void>
}

/** The size of `sun_path` in unix(7), less its end; Node.js would cut a longer path without a word. */
const socketPathBytes = 107

/** How long a peer may take for the TLS handshake. */
const handshakeMs = 10_000

const shown = (at: ListenAddress): string => ('path' in at ? at.path : `${at.host ?? '127.0.0.1'}:${at.port}`)

/** What becomes of connections: whether one is let in at all, before its first byte, and what to do with it then. */
export type Door = { readonly admits: (socket: Socket) => boolean; readonly onSocket: (socket: Socket) => void }

/** Listens on an address; a unix socket is private to its owner. Fails with `ListenFailed` if the address is in use. */
export async function listen(at: ListenAddress, { admits, onSocket }: Door, tls?: Tls): Promise<Listener> {
  if ('path' in at && Buffer.byteLength(at.path) > socketPathBytes)
    fail('ListenFailed', {
      address: at.path,
      why: `the path of a socket may have ${socketPathBytes} bytes, but this one has ${Buffer.byteLength(at.path)}; choose a shorter directory (NOVA_STATE_DIR)`,
    })
  const secure = 'tls' in at && at.tls
  const server = secure ? secureServer(tls, onSocket) : createServer({ noDelay: true })
  server.on('connection', (socket: Socket) => {
    if (!admits(socket)) socket.destroy()
    else if (!secure) onSocket(socket)
  })
  try {
    await bind(server, at)
  } catch (e) {
    if (!('path' in at) || !isCode(e, 'EADDRINUSE') || !isOurSocket(at.path) || (await answers(at.path))) failed(at, e)
    // Left over from a broker that was killed.
    unlinkSync(at.path)
    await bind(server, at).catch((again) => failed(at, again))
  }
  const bound = server.address() as AddressInfo | string
  return {
    address: typeof bound === 'string' ? { path: bound } : { host: bound.address, port: bound.port },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** A server with a certificate; with a CA, it requires client certificates signed by it. */
function secureServer(tls: Tls | undefined, onSocket: (socket: Socket) => void): Server {
  const asks = tls?.ca !== undefined
  const options = { ...tls, noDelay: true, requestCert: asks, rejectUnauthorized: asks, handshakeTimeout: handshakeMs }
  return createSecureServer(options, onSocket)
}

function failed(at: ListenAddress, e: unknown): never {
  const code = (e as NodeJS.ErrnoException).code
  fail('ListenFailed', {
    address: shown(at),
    why:
      code !== 'EADDRINUSE' ? String(code) : isFile(at) ? 'a file is there' : 'another program already listens there',
  })
}

const isFile = (at: ListenAddress): boolean =>
  'path' in at && lstatSync(at.path, { throwIfNoEntry: false })?.isSocket() === false

/** Whether a socket of this user is there, and not a file that somebody still wants. */
function isOurSocket(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found?.isSocket() === true && found.uid === process.geteuid?.()
}

const isCode = (e: unknown, code: string): boolean => (e as NodeJS.ErrnoException).code === code

function bind(server: Server, at: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    if (!('path' in at)) return void server.listen({ host: at.host ?? '127.0.0.1', port: at.port })
    server.listen({ path: at.path })
    // The socket exists when listen returns, and no connection is accepted before the next turn.
    try {
      if (server.listening) chmodSync(at.path, 0o600)
    } catch (e) {
      server.close()
      reject(e)
    }
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
