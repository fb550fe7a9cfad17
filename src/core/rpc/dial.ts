import { Socket } from 'node:net'
import { type ChannelModel, connect } from 'amqplib'
import { Failure, isFailure, reason } from '../base/errors.ts'
import { certificateTrouble, type Tls } from '../base/tls.ts'
import type { Address } from './address.ts'

/** An open connection, and its address. */
export type Dialled = { readonly address: Address; readonly model: ChannelModel }

/**
 * Connects and logs in at the first address that accepts us. `name` is the name of the connection in the broker's
 * lists. `BusRefused` if a broker refuses the login, `BusUntrusted` if its certificate cannot be verified, otherwise
 * `BusDown`.
 */
export async function dial(
  addresses: readonly Address[],
  { name, timeoutMs, tls }: { name: string; timeoutMs: number; tls: Tls | undefined },
): Promise<Dialled> {
  const refusals: Failure[] = []
  for (const address of addresses) {
    try {
      const model = await connect(address.connect, {
        // Without it every small frame waits for the last one's acknowledgement: 45 calls a second.
        noDelay: true,
        timeout: timeoutMs,
        clientProperties: { connection_name: name },
        ...address.socket,
        ...tls,
      })
      gatherWrites(model)
      return { address, model }
    } catch (e) {
      refusals.push(explain(address, e, timeoutMs))
    }
  }
  const final = refusals.find((failure) => !isFailure(failure, 'BusDown'))
  if (final !== undefined) throw final
  if (refusals.length === 1) throw refusals[0]
  const whys = refusals.map((failure) => (isFailure(failure, 'BusDown') ? failure.params.why : failure.message))
  throw new Failure('BusDown', { url: addresses.map((a) => a.shown).join(','), why: [...new Set(whys)].join('; ') })
}

/** A login that is refused (403), or that needs a mechanism that we do not have. */
const refused = /ACCESS[-_]REFUSED|SASL mechanism/
/** A broker that refuses the virtual host (530) says why; amqplib does not pass it on. */
const vhostRefused = /Expected ConnectionOpenOk; got <ConnectionClose/

function explain(address: Address, e: unknown, timeoutMs: number): Failure {
  const text = brokerText(reason(e))
  if (vhostRefused.test(text)) {
    const { vhost = '', username = '' } = address.connect
    const why = `virtual host "${decodeURIComponent(vhost)}" does not exist, or user "${username}" may not use it`
    return new Failure('BusRefused', { url: address.shown, why }, e)
  }
  const trouble = certificateTrouble(e)
  if (trouble !== undefined) return new Failure('BusUntrusted', { url: address.shown, why: trouble }, e)
  if (refused.test(text)) return new Failure('BusRefused', { url: address.shown, why: text }, e)
  return new Failure('BusDown', { url: address.shown, why: inWords(e, text, timeoutMs) }, e)
}

/** Why nothing can be sent: the broker is away, or refuses us. */
export type Unreachable = Failure<'BusDown'> | Failure<'BusConflict'> | Failure<'BusRefused'>

/** Why a broker that accepted the login does not let us declare or read what we need. */
export function setupFailure(url: string, e: unknown): Unreachable {
  const why = brokerText(reason(e))
  const code = (e as { code?: unknown }).code
  // A queue or exchange of that name exists with other flags, or belongs to another connection.
  if (code === 406 || code === 405) return new Failure('BusConflict', { url, why }, e)
  if (code === 403) return new Failure('BusRefused', { url, why }, e)
  return new Failure('BusDown', { url, why: reason(e) }, e)
}

/** The text of the broker itself, without amqplib's wrapping. */
const brokerText = (text: string): string =>
  /with message "([^"]*)"|replyText: ?['"]([^'"]*)/.exec(text)?.slice(1).find(Boolean) ?? text

function inWords(e: unknown, text: string, timeoutMs: number): string {
  const code = (e as { code?: unknown }).code
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'it does not speak TLS on that port'
  if (code === 'ECONNREFUSED') return 'nothing listens there (ECONNREFUSED)'
  if (code === 'ENOENT') return 'the socket does not exist (ENOENT)'
  if (code === 'EACCES') return 'this user may not use that socket (EACCES)'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `unknown host name (${code})`
  if (text === 'connect ETIMEDOUT') return `no answer within ${timeoutMs / 1000} s`
  return text || String(code ?? 'unknown')
}

/** Closes a connection, or cuts it if the broker does not answer. */
export async function hangUp(model: ChannelModel, limit: Promise<unknown>): Promise<void> {
  await Promise.race([model.close().catch(() => undefined), limit])
  cut(model)
}

/**
 * Destroys the socket at once; a frozen peer would keep the socket, and our process, for long. With a reason, the
 * connection fails with that reason.
 */
export function cut(model: ChannelModel, why?: Error): void {
  socketOf(model)?.destroy(why)
}

/** amqplib's connection, as far as we reach into it: where each channel's frames go, and what sends them. */
type Inside = {
  readonly muxer: { unpipeFrom(buffer: unknown): void }
  readonly channels: Array<{ readonly channel: { onBufferDrain?(): void }; buffer: unknown } | null>
  freshChannel(channel: unknown, options: unknown): number
}

/**
 * How many bytes may wait for the broker to read before a channel reports that it is full; it reports again when they
 * are gone.
 */
const mostWaiting = 1 << 20

/**
 * Sends the frames of one turn of the event loop together: one system call, one packet, one wake-up at the broker.
 * amqplib by itself passes every frame through two streams first, which is a tenth of the cost of a call, and then
 * makes a system call for each piece.
 */
function gatherWrites(model: ChannelModel): void {
  const socket = socketOf(model)
  if (socket === undefined) return
  const inside = model.connection as unknown as Inside
  let pieces: Uint8Array[] = []
  let gathered = 0
  const leave = () => {
    const leaving = pieces
    pieces = []
    gathered = 0
    if (!socket.writable) return
    socket.cork()
    for (const piece of leaving) socket.write(piece)
    socket.uncork()
  }
  const gather = {
    write(piece: Uint8Array): boolean {
      if (pieces.push(piece) === 1) setImmediate(leave)
      gathered += piece.length
      return gathered + socket.writableLength < mostWaiting
    },
    end: () => undefined,
  }
  socket.on('drain', () => {
    for (const open of inside.channels) open?.channel.onBufferDrain?.()
  })
  const fresh = inside.freshChannel.bind(inside)
  inside.freshChannel = (channel, options) => {
    const number = fresh(channel, options)
    const opened = inside.channels[number]!
    inside.muxer.unpipeFrom(opened.buffer)
    opened.buffer = gather
    return number
  }
}

/** The socket below a connection, which amqplib's types do not expose. */
const socketOf = (model: ChannelModel): Socket | undefined => {
  const { stream } = model.connection as unknown as { stream?: unknown }
  return stream instanceof Socket ? stream : undefined
}
