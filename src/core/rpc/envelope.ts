/** oslo.messaging's 2.0 envelope: JSON with the version, and the message as a string that is itself JSON. */

const opening = '{"oslo.version":"2.0","oslo.message":'

/** The largest message; anything larger is an image, not a message. RabbitMQ 4 accepts no more by default. */
export const bodyLimitBytes = 16 << 20

/** A body that is not a message for us; `message` says why. Never leaves this room. */
class Malformed extends Error {}

/** Puts a message, as JSON text, into its envelope. */
export const wrap = (message: string): Buffer => Buffer.from(`${opening}${JSON.stringify(message)}}`)

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

/** As {@link unwrap}, for messages that must be objects. */
export function unwrapRecord(body: Buffer): Record<string, unknown> {
  const message = unwrap(body)
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
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed(`${what} is not JSON`)
  }
}

/** The id in a message of our own that came back. */
export function idOf(body: Buffer, key: '_msg_id' | '_unique_id'): string | undefined {
  try {
    const id = unwrapRecord(body)[key]
    return typeof id === 'string' ? id : undefined
  } catch {
    return undefined
  }
}
