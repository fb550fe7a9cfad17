import { Socket } from 'node:net'
import { type ChannelModel, connect } from 'amqplib'
import { Failure, isFailure, reason } from '../base/errors.ts'
import { certificateTrouble, type Tls } from '../base/tls.ts'
import type { Address } from './address.ts'

/** A connection that was made, and where to. */
export type Dialled = { readonly address: Address; readonly model: ChannelModel }

/**
 * Connects and logs in at the first of the addresses that takes us. `name` is what the broker's lists call the connection.
 * `BusRefused` where a broker is there and does not let us in, `BusUntrusted` where it cannot show who it is, else `BusDown`.
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

/** A login that is refused (403), and one that we have no way to make. */
const refused = /ACCESS[-_]REFUSED|SASL mechanism/
/** A broker that refuses the virtual host (530) says why; amqplib does not tell us. */
const vhostRefused = /Expected ConnectionOpenOk; got <ConnectionClose/

function explain(address: Address, e: unknown, timeoutMs: number): Failure {
  const text = said(reason(e))
  if (vhostRefused.test(text)) {
    const { vhost = '', username = '' } = address.connect
    const why = `virtual host "${decodeURIComponent(vhost)}" is not there, or user "${username}" may not use it`
    return new Failure('BusRefused', { url: address.shown, why }, e)
  }
  const trouble = certificateTrouble(e)
  if (trouble !== undefined) return new Failure('BusUntrusted', { url: address.shown, why: trouble }, e)
  if (refused.test(text)) return new Failure('BusRefused', { url: address.shown, why: text }, e)
  return new Failure('BusDown', { url: address.shown, why: inWords(e, text, timeoutMs) }, e)
}

/** What the broker itself said, out of amqplib's wrapping. */
const said = (text: string): string =>
  /with message "([^"]*)"|replyText: ?['"]([^'"]*)/.exec(text)?.slice(1).find(Boolean) ?? text

function inWords(e: unknown, text: string, timeoutMs: number): string {
  const code = (e as { code?: unknown }).code
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'it does not speak TLS there'
  if (code === 'ECONNREFUSED') return 'nothing listens there (ECONNREFUSED)'
  if (code === 'ENOENT') return 'there is no such socket (ENOENT)'
  if (code === 'EACCES') return 'this user may not use that socket (EACCES)'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `no such host (${code})`
  if (text === 'connect ETIMEDOUT') return `no answer within ${timeoutMs / 1000} s`
  return text || String(code ?? 'unknown')
}

/** Closes a connection, and cuts the line where the broker does not answer to that. */
export async function hangUp(model: ChannelModel, limit: Promise<unknown>): Promise<void> {
  await Promise.race([model.close().catch(() => undefined), limit])
  cut(model)
}

/** Ends the socket at once; a peer that is frozen would keep it, and our process, for long. With a reason, the connection fails of it. */
export function cut(model: ChannelModel, why?: Error): void {
  socketOf(model)?.destroy(why)
}

/**
 * Lets what amqplib writes in one go leave in one go. It writes a message beyond 2 KB as two pieces, and each message apart;
 * every piece would be a system call here, a packet, and a wake-up at the broker.
 */
function gatherWrites(model: ChannelModel): void {
  const socket = socketOf(model)
  if (socket === undefined) return
  const write = socket.write.bind(socket) as (chunk: Uint8Array) => boolean
  let gathering = false
  const release = () => {
    gathering = false
    socket.uncork()
  }
  const gather = (chunk: Uint8Array): boolean => {
    if (!gathering) {
      gathering = true
      socket.cork()
      process.nextTick(release)
    }
    return write(chunk)
  }
  socket.write = gather as Socket['write']
}

/** The socket below a connection, which amqplib does not give away by its types. */
const socketOf = (model: ChannelModel): Socket | undefined => {
  const { stream } = model.connection as unknown as { stream?: unknown }
  return stream instanceof Socket ? stream : undefined
}
