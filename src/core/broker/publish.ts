import { AmqpError, refuse } from './amqp-error.ts'
import { type Channel, forgetIncoming, type Incoming, type Outgoing } from './channel.ts'
import { type Field, type Table, textOf } from './field-table.ts'
import { bookkeepingBytes, footprint, type Message } from './message.ts'
import { methodKey } from './methods.ts'
import { bodySize, readProperties, scan, withReplyTo, writeHeader } from './properties.ts'
import { replyToName } from './vhost.ts'
import { Reader, Writer } from './wire.ts'

/** Starts a message: parses basic.publish by hand, because half of all traffic is this method. */
export function beginPublish(channel: Channel, payload: Buffer): void {
  const reader = new Reader(payload, 6)
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  const route = payload.subarray(6, reader.position)
  const bits = reader.octet()
  channel.incoming = {
    exchange,
    routingKey,
    mandatory: (bits & 1) !== 0,
    immediate: (bits & 2) !== 0,
    route,
    header: undefined,
    size: 0,
    received: 0,
    parts: [],
  }
}

/**
 * Accepts a content header. 505 if none is expected, 406 if the message is too large, 506 if its user has too many
 * messages here.
 */
export function takeHeader(channel: Channel, payload: Buffer): void {
  const { incoming } = channel
  if (!incoming || incoming.header) refuse('UNEXPECTED_FRAME', 'expected method frame, got content header')
  if (payload.length < 14) refuse('SYNTAX_ERROR', 'content header too short')
  const classId = payload.readUInt16BE(0)
  if (classId !== 60) refuse('UNEXPECTED_FRAME', `expected content header for class 60, got one for class ${classId}`)
  const size = bodySize(payload)
  const { messageBytes, share } = channel.peer
  if (size > messageBytes) {
    channel.incoming = undefined
    refuse('PRECONDITION_FAILED', `message size ${size} is larger than configured max size ${messageBytes}`)
  }
  share?.admit(size + bookkeepingBytes)
  share?.sent(size + bookkeepingBytes)
  incoming.header = payload
  incoming.size = size
  if (size === 0) complete(channel, incoming)
}

/** Accepts a piece of a body. 505 if none is expected, 501 if it is longer than announced. */
export function takeBody(channel: Channel, payload: Buffer): void {
  const { incoming } = channel
  if (!incoming?.header) refuse('UNEXPECTED_FRAME', 'expected method frame, got content body')
  if (incoming.received + payload.length > incoming.size) refuse('FRAME_ERROR', 'content body larger than announced')
  incoming.parts.push(payload)
  incoming.received += payload.length
  channel.peer.deps.memory.grow(payload.length)
  if (incoming.received === incoming.size) complete(channel, incoming)
}

/** Copies a message out of the socket's chunks, so that a short message does not keep a long chunk alive. */
function gather(incoming: Incoming, header: Buffer): { route: Buffer; header: Buffer; body: Buffer } {
  const { route, parts, size } = incoming
  const block = Buffer.allocUnsafe(route.length + header.length + size)
  const headerAt = route.copy(block, 0)
  const bodyAt = headerAt + header.copy(block, headerAt)
  let position = bodyAt
  for (const part of parts) position += part.copy(block, position)
  return { route: block.subarray(0, headerAt), header: block.subarray(headerAt, bodyAt), body: block.subarray(bodyAt) }
}

function complete(channel: Channel, incoming: Incoming): void {
  channel.incoming = undefined
  const outgoing = prepare(channel, incoming)
  channel.peer.published(footprint(outgoing.message))
  // What a transaction holds back counts as incoming until it is committed.
  if (channel.transaction) channel.transaction.publishes.push(outgoing)
  else {
    // The share counts a message once: while it arrives, or in queues.
    channel.peer.share?.sent(-(incoming.size + bookkeepingBytes))
    route(channel, outgoing)
    channel.peer.deps.memory.shrink(incoming.received)
  }
}

/** Checks a publish, and reads the properties that routing and queues use. */
function prepare(channel: Channel, incoming: Incoming): Outgoing {
  try {
    return checked(channel, incoming)
  } catch (e) {
    forgetIncoming(channel, incoming.received, incoming.size)
    throw e
  }
}

function checked(channel: Channel, incoming: Incoming): Outgoing {
  if (incoming.immediate) refuse('NOT_IMPLEMENTED', 'immediate=true')
  channel.check('write', 'exchange', incoming.exchange)
  const exchange = channel.exchange(incoming.exchange)
  const { vhost, peer } = channel
  if (exchange.declared.internal) {
    refuse('ACCESS_REFUSED', `cannot publish to internal exchange '${exchange.name}' in vhost '${vhost.name}'`)
  }
  const properties = scan(incoming.header!)
  if (properties.userId !== undefined && properties.userId !== peer.user) {
    refuse(
      'PRECONDITION_FAILED',
      `user_id property set to '${properties.userId}' but authenticated user was '${peer.user}'`,
    )
  }
  let header = incoming.header!
  if (properties.replyTo === replyToName) {
    if (channel.replyTo === undefined) refuse('PRECONDITION_FAILED', 'fast reply consumer does not exist')
    header = withReplyTo(header, channel.replyTo)
  }
  let routingKeys: readonly string[] = [incoming.routingKey]
  const { headers } = properties
  if (headers?.has('CC') || headers?.has('BCC')) {
    routingKeys = [incoming.routingKey, ...keysIn(headers, 'CC'), ...keysIn(headers, 'BCC')]
    header = withoutBcc(header, headers, incoming.size)
  }
  channel.checkTopics('write', exchange, routingKeys)
  const message: Message = {
    exchange: incoming.exchange,
    routingKey: incoming.routingKey,
    ...gather(incoming, header),
    priority: properties.priority,
    ttlMs: properties.expiration === undefined ? undefined : milliseconds(properties.expiration),
    share: peer.share,
    holders: 0,
  }
  return { message, exchange, headers, routingKeys, mandatory: incoming.mandatory }
}

/**
 * Further routing keys of a message.
 * @see https://www.rabbitmq.com/docs/sender-selected
 */
function keysIn(headers: Table, name: 'CC' | 'BCC'): string[] {
  const field = headers.get(name)
  if (field === undefined) return []
  const keys = field.tag === 'A' ? field.value.map((each: Field) => textOf(each)) : [undefined]
  if (keys.includes(undefined)) refuse('PRECONDITION_FAILED', `header '${name}' is not an array of strings`)
  return keys.map((key) => key ?? '')
}

function withoutBcc(header: Buffer, headers: Table, size: number): Buffer {
  if (!headers.has('BCC')) return header
  const rest = new Map(headers)
  rest.delete('BCC')
  return writeHeader(size, { ...readProperties(header), headers: rest })
}

function milliseconds(expiration: string): number {
  if (/^\d{1,10}$/.test(expiration)) return Number(expiration)
  throw new AmqpError('PRECONDITION_FAILED', `invalid expiration '${expiration}'`)
}

/** Routes a publish; an unroutable mandatory one goes back before its confirm. */
export function route(channel: Channel, outgoing: Outgoing): void {
  const { message, exchange, headers, routingKeys, mandatory } = outgoing
  const { routed, refused } = channel.vhost.publish(message, exchange, headers, routingKeys)
  if (!routed && mandatory) {
    const fields = new Writer()
    fields.long(methodKey('basic.return'))
    fields.short(312)
    fields.shortstr('NO_ROUTE')
    channel.outbox.content(channel.number, fields.done(), message)
  }
  channel.confirm(refused)
}
