/**
 * Moves the bytes of a stopped guest from its host to another one, over TCP. The host that takes it says where it listens
 * and the caller hands a secret of this one transfer to both, over the bus.
 *
 *   sender                                          receiver
 *   hello (its nonce, the operation)        →
 *                                           ←       challenge (its nonce)
 *   proof (MAC)                             →
 *                                           ←       accept (MAC), or nothing at all
 *   start (bytes to come), extent …, end    →
 *                                           ←       done (MAC), or refused (MAC, the reason), at any time
 *
 * Both say `alive` while they work. `end` has a MAC over all extents. Nothing is encrypted but the secret never passes.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { assert, fail, reason } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { DiskReader, DiskWriter } from '../virt/driver.ts'
import { frames, Link, macOf, type Session, sameMac, unprovenMax } from './transfer-link.ts'
import { type Progress, throttled } from './transfer-progress.ts'
import { Expected } from './transfer-receive.ts'
import { type Destination, sendDisk } from './transfer-send.ts'

export type TransferDeps = {
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly options: {
    /** Where it listens, and what is told to the other host. */
    readonly migrationAddress: string
    /** 0: any free port, the same as long as this lives. */
    readonly migrationPort: number
  }
  /** How long the other side may be silent, in ms; 60,000 if unset. */
  readonly idleMs?: number
}

/** A transfer that is expected. */
export type Expectation = {
  address: string
  port: number
  /** Resolves when all came and the writer has completed; rejects when it was cancelled. */
  done: Promise<void>
  /** Nobody is let in any more; what came in part is removed. Does nothing to a guest that is here already. */
  cancel(): Promise<void>
}

export type Transfers = {
  /**
   * Waits for a guest, until `done` or `cancel`. A connection that breaks, or whose bytes are refused, leaves it waiting:
   * the sender may come again. Expecting an operation that is expected already cancels the earlier one. `TransferFailed`
   * if this host cannot listen.
   */
  expect(
    ticket: { operation: string; secret: string },
    writer: DiskWriter,
    progress: (progress: Progress) => void,
  ): Promise<Expectation>
  /**
   * Sends a guest. Resolves when it is complete on the other host. `TransferFailed`: it may be tried again, with the same
   * reader. The reader stays open.
   */
  send(to: Destination, reader: DiskReader, progress: (progress: Progress) => void, signal: AbortSignal): Promise<void>
  /** Cancels all that is expected. */
  close(): Promise<void>
}

/** Connections that have not proved themselves, at once. */
const unprovenConnections = 16
const authenticateMs = 10_000
/** How long a transfer is remembered that is done, for a sender that did not hear of it. */
const rememberMs = 60_000
const nonceBytes = 32

export function openTransfers(deps: TransferDeps): Transfers {
  const { clock, idleMs = 60_000 } = deps
  const nonce = () => Buffer.from(deps.ids.hex() + deps.ids.hex(), 'hex')
  const receiver = new Receiver({ ...deps, idleMs, nonce })
  return {
    expect: (ticket, writer, progress) => receiver.expect(ticket, writer, progress),
    send: (to, reader, progress, signal) =>
      sendDisk({ clock, nonce, idleMs, connectMs: authenticateMs }, to, reader, throttled(clock, progress), signal),
    close: () => receiver.close(),
  }
}

class Receiver {
  readonly #deps: TransferDeps & { idleMs: number; nonce: () => Buffer }
  readonly #expected = new Map<string, Expected>()
  readonly #unproven = new Set<Socket>()
  #server: Promise<Server> | undefined
  /** The end of the listener before. */
  #closed: Promise<void> = Promise.resolve()
  #port: number

  constructor(deps: TransferDeps & { idleMs: number; nonce: () => Buffer }) {
    this.#deps = deps
    this.#port = deps.options.migrationPort
  }

  async expect(
    ticket: { operation: string; secret: string },
    writer: DiskWriter,
    progress: (progress: Progress) => void,
  ): Promise<Expectation> {
    assert(ticket.secret.length >= 43, 'a secret of 256 bits')
    const { clock, options } = this.#deps
    const before = this.#expected.get(ticket.operation)
    const expected = new Expected(ticket, writer, throttled(clock, progress))
    this.#expected.set(ticket.operation, expected)
    await before?.cancel()
    try {
      await this.#listen()
    } catch (e) {
      this.#forget(expected)
      throw e
    }
    expected.done.then(
      () => clock.after(rememberMs, () => this.#forget(expected)),
      () => this.#forget(expected),
    )
    return {
      address: options.migrationAddress,
      port: this.#port,
      done: expected.done,
      cancel: async () => {
        this.#forget(expected)
        await expected.cancel()
      },
    }
  }

  async close(): Promise<void> {
    const all = [...this.#expected.values()]
    for (const expected of all) this.#forget(expected)
    await Promise.all(all.map((expected) => expected.cancel()))
  }

  /** Once nothing is expected, nobody listens. */
  #forget(expected: Expected): void {
    if (this.#expected.get(expected.operation) === expected) this.#expected.delete(expected.operation)
    if (this.#expected.size > 0 || this.#server === undefined) return
    this.#closed = this.#server.then(
      (server) => void server.close(),
      () => undefined,
    )
    this.#server = undefined
    for (const socket of this.#unproven) socket.destroy()
  }

  async #listen(): Promise<void> {
    this.#server ??= this.#bind().catch((e: unknown) => {
      this.#server = undefined
      throw e
    })
    await this.#server
  }

  async #bind(): Promise<Server> {
    const { migrationAddress: host, migrationPort } = this.#deps.options
    await this.#closed
    try {
      return await this.#bindTo(this.#port)
    } catch (e) {
      // The port of before was only the one that happened to be free.
      const another = migrationPort === 0 && this.#port !== 0 && (e as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (another) return await this.#bindTo(0)
      this.#deps.log.error({ address: `${host}:${this.#port}`, err: e }, 'cannot listen for transfers')
      // The owner of the instance reads this: the address is for the log.
      const why = (e as NodeJS.ErrnoException).code ?? reason(e)
      fail(
        'TransferFailed',
        { why: `that host cannot listen at its migration address, port ${this.#port} (${why})` },
        e,
      )
    }
  }

  async #bindTo(port: number): Promise<Server> {
    const server = createServer({ noDelay: true }, (socket) => void this.#admit(socket))
    server.listen({ port, host: this.#deps.options.migrationAddress })
    await once(server, 'listening')
    server.on('error', (err) => this.#deps.log.warn({ err }, 'the listener for transfers failed'))
    this.#port = (server.address() as { port: number }).port
    return server
  }

  async #admit(socket: Socket): Promise<void> {
    const { clock, log } = this.#deps
    const from = socket.remoteAddress
    if (this.#unproven.size >= unprovenConnections) {
      socket.destroy()
      return
    }
    const link = new Link(socket, this.#deps)
    this.#unproven.add(socket)
    socket.on('close', () => this.#unproven.delete(socket))
    const stop = clock.after(authenticateMs, () => link.destroy(new Error('it did not prove itself in time')))
    let operation: string | undefined
    try {
      const { expected, session } = await this.#authenticate(link)
      stop()
      this.#unproven.delete(socket)
      operation = session.operation
      log.debug({ operation, from }, 'a transfer begins')
      await expected.receive(link, session)
    } catch (e) {
      log.warn({ operation, from, why: reason(e) }, operation ? 'a transfer ended early' : 'a connection was refused')
      if (!operation) link.destroy(e as Error)
    } finally {
      stop()
    }
  }

  /** Who does not know the secret hears the same as who names an operation that nobody expects: nothing. */
  async #authenticate(link: Link): Promise<{ expected: Expected; session: Session }> {
    const hello = await link.expect(frames.hello, unprovenMax)
    const operation = hello.toString('utf8', nonceBytes)
    const receiverNonce = this.#deps.nonce()
    await link.write(frames.challenge, receiverNonce)
    const proof = await link.expect(frames.proof, unprovenMax)
    const expected = this.#expected.get(operation)
    const secret = expected?.secret ?? this.#deps.nonce().toString('hex')
    const session: Session = { secret, operation, senderNonce: hello.subarray(0, nonceBytes), receiverNonce }
    if (!sameMac(proof, macOf(session, 'sender')) || !expected) throw new Error('it does not know the secret')
    return { expected, session }
  }
}
