import { refuse } from './amqp-error.ts'
import { bool, type Field, longstr, nested, type Table } from './field-table.ts'
import { frameMinSize } from './frames.ts'
import { mechanisms } from './login.ts'
import type { Args } from './methods.ts'

/** The parameters of a connection; both sides agree on them before connection.open. */
export type Tuning = { channelMax: number; frameMax: number; heartbeat: number }

/** How long a peer may take for the handshake, and to answer a close. */
export const patienceMs = 10_000
/** How long a refused login waits for its answer, so that nobody can try many passwords. */
export const refusedAfterMs = 1_000

/** "AMQP", 0, and the version: the first bytes of a client, and our answer if it spoke another version. */
export const protocolHeader = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])

/**
 * What follows the protocol header in a peer's first bytes: undefined if it is not complete yet, `foreign` if it is
 * another one.
 */
export function greeting(bytes: Buffer): Buffer | 'foreign' | undefined {
  const given = bytes.subarray(0, protocolHeader.length)
  if (!given.equals(protocolHeader.subarray(0, given.length))) return 'foreign'
  return given.length < protocolHeader.length ? undefined : bytes.subarray(protocolHeader.length)
}

/**
 * The server properties that RabbitMQ's clients check: `product` makes them use RabbitMQ's extensions.
 * @see https://www.rabbitmq.com/docs/connections#capabilities
 */
const serverProperties: Table = new Map<string, Field>([
  [
    'capabilities',
    nested({
      publisher_confirms: bool(true),
      exchange_exchange_bindings: bool(true),
      'basic.nack': bool(true),
      consumer_cancel_notify: bool(true),
      'connection.blocked': bool(true),
      consumer_priorities: bool(true),
      authentication_failure_close: bool(true),
      per_consumer_qos: bool(true),
      direct_reply_to: bool(true),
    }),
  ],
  ['product', longstr('RabbitMQ')],
  ['version', longstr('3.10.0')],
  ['platform', longstr('Node.js')],
  ['information', longstr("Nova's embedded broker")],
])

export const startArgs: Args<'connection.start'> = {
  versionMajor: 0,
  versionMinor: 9,
  serverProperties,
  mechanisms: Buffer.from(mechanisms),
  locales: Buffer.from('en_US'),
}

/** Whether a client's properties say that it understands an extension. */
export function capable(clientProperties: Table, capability: string): boolean {
  const capabilities = clientProperties.get('capabilities')
  const field = capabilities?.tag === 'F' ? capabilities.value.get(capability) : undefined
  return field?.tag === 't' && field.value
}

function negotiated(name: string, theirs: number, ours: number): number {
  if (theirs === 0) return ours
  if (theirs > ours) {
    refuse('NOT_ALLOWED', `negotiated ${name} = ${theirs} is higher than the maximum allowed value (${ours})`)
  }
  return theirs
}

/** The result of connection.tune-ok and the server's offer. 530 if the client wants more than was offered. */
export function tune(offered: Tuning, answer: Args<'connection.tune-ok'>): Tuning {
  const frameMax = negotiated('frame_max', answer.frameMax, offered.frameMax)
  if (frameMax < frameMinSize) {
    refuse(
      'NOT_ALLOWED',
      `negotiated frame_max = ${frameMax} is lower than the minimum allowed value (${frameMinSize})`,
    )
  }
  return {
    frameMax,
    channelMax: negotiated('channel_max', answer.channelMax, offered.channelMax),
    heartbeat: answer.heartbeat,
  }
}
