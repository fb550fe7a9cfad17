import type { ConsumeMessage } from 'amqplib'
import { hostMessageBytes, isFromHost } from '../model/bus-user.ts'
import { excess } from './json-bounds.ts'

/** oslo.messaging's 2.0 envelope: JSON with the version, and the message as a string that is itself JSON. */

const opening = '{"oslo.version":"2.0","oslo.message":'

/** The largest message; anything larger is an image, not a message. RabbitMQ 4 accepts no more by default. */
export const bodyLimitBytes = 16 << 20

/** A message as large as this that is delivered again has probably killed its reader: nobody shall read it again. */
const fatalBytes = 2 << 20

/** A body that is not a message for us; `message` says why. Never leaves this room. */
class Malformed extends Error {}

/** Puts a message, as JSON text, into its envelope. */
export const wrap = (message: string): Buffer => Buffer.from(`${opening}${JSON.stringify(message)}}`)

/**
 * Takes the message out of a delivery, as {@link unwrap}, unless it is larger than its sender may send, or has come
 * before and may have killed its reader then. Throws {@link Malformed}, and reads nothing of such a body.
 */
export function readDelivery({ content, fields, properties }: ConsumeMessage): unknown {
  const limit = isFromHost(fields.exchange, properties.userId as unknown) ? hostMessageBytes : bodyLimitBytes
  if (content.length > limit) throw new Malformed(`it has ${content.length} bytes, and its sender may send ${limit}`)
  if (fields.redelivered && content.length > fatalBytes)
    throw new Malformed(`it has ${content.length} bytes and is delivered again: it may have killed its reader`)
  return unwrap(content)
}

/** As {@link readDelivery}, for messages that must be objects. */
export const readDeliveredRecord = (message: ConsumeMessage): Record<string, unknown> => record(readDelivery(message))

/** Takes the message out of a body; one without an envelope is a message of version 1.0. Throws {@link Malformed}. */
export function unwrap(body: Buffer): unknown {
  const outer = parse(body.toString('utf8'), 'the body')
  if (!isRecord(outer) || !('oslo.version' in outer || 'oslo.message' in outer)) return outer
  const version = outer['oslo.version']
  if (typeof version !== 'string' || !/^2\.0$/.test(version)) {
    throw new Malformed(`envelope of version ${brief(version)}, not 2.0`)
  }
  const inner = outer['oslo.message']
  if (typeof inner !== 'string') throw new Malformed('oslo.message is not a string')
  return parse(inner, 'oslo.message')
}

function record(message: unknown): Record<string, unknown> {
  if (!isRecord(message)) throw new Malformed('the message is not an object')
  return message
}

/** Whether a value is a JSON object. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Any value, shortened for a line of log or an error text. */
export function brief(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined')
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function parse(text: string, what: string): unknown {
  const why = excess(text)
  if (why !== undefined) throw new Malformed(`${what} is refused: ${why}`)
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed(`${what} is not JSON`)
  }
}

/** The id in a message of our own that came back. */
export function idOf(body: Buffer, key: '_msg_id' | '_unique_id'): string | undefined {
  try {
    const id = record(unwrap(body))[key]
    return typeof id === 'string' ? id : undefined
  } catch {
    return undefined
  }
}
