import type { Share } from './share.ts'

/** A message as the broker keeps it: the publisher's bytes, copied once and never decoded on the way. */
export type Message = {
  readonly exchange: string
  readonly routingKey: string
  /** Exchange and routing key as two short strings, as deliver, get-ok and return end with them. */
  readonly route: Buffer
  /** Payload of the content header frame. */
  readonly header: Buffer
  readonly body: Buffer
  readonly priority: number
  /** How long it may wait in a queue, in milliseconds; undefined for no limit. */
  readonly ttlMs: number | undefined
  /** The share of its sender, if that one has limits. */
  readonly share: Share | undefined
  /** How many queues hold it. */
  holders: number
}

/** The estimated memory of a message besides its bytes: objects, list entries, map slots. */
export const bookkeepingBytes = 400

/** Bytes that a message occupies while a queue holds it. */
export const footprint = (message: Message): number =>
  message.route.length + message.header.length + message.body.length + bookkeepingBytes

/** Two short strings, as basic.deliver ends with them. */
export function encodeRoute(exchange: string, routingKey: string): Buffer {
  const first = Buffer.from(exchange)
  const second = Buffer.from(routingKey)
  return Buffer.concat([Buffer.from([first.length]), first, Buffer.from([second.length]), second])
}
