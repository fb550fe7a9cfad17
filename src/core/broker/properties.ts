import { refuse } from './amqp-error.ts'
import { readTable, type Table, writeTable } from './field-table.ts'
import { Reader, Writer } from './wire.ts'

/**
 * The properties of the basic class in wire order: the first has bit 15 of the flags, the last bit 2.
 * @see AMQP 0-9-1 specification §4.2.6.1
 */
const properties = {
  contentType: 'shortstr',
  contentEncoding: 'shortstr',
  headers: 'table',
  deliveryMode: 'octet',
  priority: 'octet',
  correlationId: 'shortstr',
  replyTo: 'shortstr',
  expiration: 'shortstr',
  messageId: 'shortstr',
  timestamp: 'longlong',
  type: 'shortstr',
  userId: 'shortstr',
  appId: 'shortstr',
  clusterId: 'shortstr',
} as const

type PropertyName = keyof typeof properties
type Kind = (typeof properties)[PropertyName]
export type Properties = {
  -readonly [K in PropertyName]?: {
    shortstr: string
    table: Table
    octet: number
    longlong: number
  }[(typeof properties)[K]]
}

const inOrder = Object.entries(properties) as Array<[PropertyName, Kind]>
const flagOf = new Map<PropertyName, number>(inOrder.map(([name], i) => [name, 1 << (15 - i)]))

/** Class, weight and body size come before the flags in a content header. */
const flagsAt = 12
/** Where the first property starts. */
const propertiesAt = 14

/** The size of the body according to a content header. 502 for a header that is too short or has unknown flags. */
export function bodySize(header: Buffer): number {
  const reader = new Reader(header, 4)
  const size = reader.longlong()
  if ((reader.short() & 0b11) !== 0) refuse('SYNTAX_ERROR', 'unknown property flags in a content header')
  return size
}

function skip(reader: Reader, kind: Kind): void {
  if (kind === 'shortstr') reader.bytes(reader.octet())
  else if (kind === 'table') reader.longstr()
  else reader.bytes(kind === 'octet' ? 1 : 8)
}

/** The properties of a message that the broker itself uses. */
export type Scan = {
  headers: Table | undefined
  priority: number
  replyTo: string | undefined
  expiration: string | undefined
  userId: string | undefined
}

/**
 * Parses a content header once: checks that it is well formed to its last byte (502 otherwise) and keeps what a broker
 * uses.
 */
export function scan(header: Buffer): Scan {
  const found: Scan = { headers: undefined, priority: 0, replyTo: undefined, expiration: undefined, userId: undefined }
  const flags = header.readUInt16BE(flagsAt)
  const reader = new Reader(header, propertiesAt)
  for (let i = 0; i < inOrder.length; i++) {
    if ((flags & (1 << (15 - i))) === 0) continue
    const [name, kind] = inOrder[i]!
    if (name === 'headers') found.headers = readTable(reader)
    else if (name === 'priority') found.priority = reader.octet()
    else if (name === 'replyTo' || name === 'expiration' || name === 'userId') found[name] = reader.shortstr()
    else skip(reader, kind)
  }
  if (reader.left > 0) refuse('SYNTAX_ERROR', 'bytes left over in a content header')
  return found
}

/** The same content header with another reply-to; all other bytes are unchanged. */
export function withReplyTo(header: Buffer, replyTo: string): Buffer {
  const flags = header.readUInt16BE(flagsAt)
  const reader = new Reader(header, propertiesAt)
  for (const [name, kind] of inOrder) {
    if (name === 'replyTo') break
    if ((flags & flagOf.get(name)!) !== 0) skip(reader, kind)
  }
  const start = reader.position
  skip(reader, 'shortstr')
  const writer = new Writer(header.length + 64)
  writer.bytes(header.subarray(0, start))
  writer.shortstr(replyTo)
  writer.bytes(header.subarray(reader.position))
  return writer.done()
}

/** Reads all properties of a content header. 502 if it is malformed. */
export function readProperties(header: Buffer): Properties {
  const flags = header.readUInt16BE(flagsAt)
  const reader = new Reader(header, propertiesAt)
  const read: Record<string, unknown> = {}
  for (const [name, kind] of inOrder) {
    if ((flags & flagOf.get(name)!) !== 0) read[name] = kind === 'table' ? readTable(reader) : reader[kind]()
  }
  return read as Properties
}

/** Writes a content header of the basic class for a body of `size` bytes. */
export function writeHeader(size: number, values: Properties): Buffer {
  const writer = new Writer()
  writer.short(60)
  writer.short(0)
  writer.longlong(size)
  const present = inOrder.filter(([name]) => values[name] !== undefined)
  writer.short(present.reduce((flags, [name]) => flags | flagOf.get(name)!, 0))
  for (const [name, kind] of present) {
    const value = values[name]
    if (kind === 'table') writeTable(writer, value as Table)
    else if (kind === 'shortstr') writer.shortstr(value as string)
    else writer[kind](value as number)
  }
  return writer.done()
}
