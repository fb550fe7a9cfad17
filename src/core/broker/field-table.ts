import { refuse } from './amqp-error.ts'
import { Reader, Writer } from './wire.ts'

/**
 * One value of a field table with its tag on the wire, so that decoding and encoding again changes nothing. The tags
 * are those of RabbitMQ and its clients, which differ from the specification's.
 * @see https://www.rabbitmq.com/amqp-0-9-1-errata.html §3
 */
export type Field =
  | { tag: 't'; value: boolean }
  | { tag: 'b' | 'B' | 's' | 'u' | 'I' | 'i' | 'f' | 'd'; value: number }
  | { tag: 'l' | 'L' | 'T'; value: bigint }
  | { tag: 'D'; value: { scale: number; unscaled: number } }
  | { tag: 'S' | 'x'; value: Buffer }
  | { tag: 'A'; value: Field[] }
  | { tag: 'F'; value: Table }
  | { tag: 'V'; value: null }

/** A field table of AMQP 0-9-1 (4.2.5.5): names to typed values. */
export type Table = ReadonlyMap<string, Field>

export const emptyTable: Table = new Map()

/** A depth that no honest client reaches, and that does not exhaust the stack. */
const deepest = 100

export const longstr = (text: string): Field => ({ tag: 'S', value: Buffer.from(text) })
export const bool = (value: boolean): Field => ({ tag: 't', value })
export const long = (value: number | bigint): Field => ({ tag: 'l', value: BigInt(value) })
export const array = (value: Field[]): Field => ({ tag: 'A', value })
export const nested = (fields: Record<string, Field>): Field => ({ tag: 'F', value: new Map(Object.entries(fields)) })

/** The text of a string field; undefined for any other. */
export function textOf(field: Field | undefined): string | undefined {
  return field?.tag === 'S' ? field.value.toString() : undefined
}

/** The number in an integer field of any width; undefined for any other. */
export function integerOf(field: Field | undefined): number | undefined {
  switch (field?.tag) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return field.value
    case 'l':
    case 'L':
      return Number(field.value)
    default:
      return undefined
  }
}

/** Whether two fields hold the same value, integers and floats compared across their widths as RabbitMQ does. */
export function sameField(a: Field, b: Field): boolean {
  const integer = integerOf(a)
  if (integer !== undefined) return integer === integerOf(b)
  if (a.tag === 'f' || a.tag === 'd') return (b.tag === 'f' || b.tag === 'd') && a.value === b.value
  if (a.tag !== b.tag) return false
  const one = new Writer()
  const other = new Writer()
  writeField(one, a)
  writeField(other, b)
  return one.done().equals(other.done())
}

/** Reads a table with its length in front. Malformed ones are a syntax error (502). */
export function readTable(reader: Reader, depth = 0): Table {
  if (depth > deepest) refuse('SYNTAX_ERROR', 'table nested too deeply')
  const inside = new Reader(reader.longstr())
  if (inside.left === 0) return emptyTable
  const table = new Map<string, Field>()
  while (inside.left > 0) table.set(inside.shortstr(), readField(inside, depth))
  return table
}

function readArray(reader: Reader, depth: number): Field[] {
  if (depth > deepest) refuse('SYNTAX_ERROR', 'array nested too deeply')
  const inside = new Reader(reader.longstr())
  const fields: Field[] = []
  while (inside.left > 0) fields.push(readField(inside, depth))
  return fields
}

function readField(reader: Reader, depth: number): Field {
  const tag = String.fromCharCode(reader.octet())
  switch (tag) {
    case 't':
      return { tag, value: reader.octet() !== 0 }
    case 'b':
      return { tag, value: reader.bytes(1).readInt8() }
    case 'B':
      return { tag, value: reader.octet() }
    case 's':
      return { tag, value: reader.bytes(2).readInt16BE() }
    case 'u':
      return { tag, value: reader.short() }
    case 'I':
      return { tag, value: reader.bytes(4).readInt32BE() }
    case 'i':
      return { tag, value: reader.long() }
    case 'l':
      return { tag, value: reader.bytes(8).readBigInt64BE() }
    case 'L':
    case 'T':
      return { tag, value: reader.bytes(8).readBigUInt64BE() }
    case 'f':
      return { tag, value: reader.bytes(4).readFloatBE() }
    case 'd':
      return { tag, value: reader.bytes(8).readDoubleBE() }
    case 'D':
      return { tag, value: { scale: reader.octet(), unscaled: reader.long() } }
    case 'S':
    case 'x':
      return { tag, value: Buffer.from(reader.longstr()) }
    case 'A':
      return { tag, value: readArray(reader, depth + 1) }
    case 'F':
      return { tag, value: readTable(reader, depth + 1) }
    case 'V':
      return { tag, value: null }
    default:
      return refuse('SYNTAX_ERROR', `unknown field type ${JSON.stringify(tag)} in a table`)
  }
}

/** Writes a table with its length in front. */
export function writeTable(writer: Writer, table: Table): void {
  writer.sized(() => {
    for (const [key, field] of table) {
      writer.shortstr(key)
      writeField(writer, field)
    }
  })
}

function writeField(writer: Writer, field: Field): void {
  writer.octet(field.tag.charCodeAt(0))
  switch (field.tag) {
    case 't':
      writer.octet(field.value ? 1 : 0)
      break
    case 'b':
    case 'B':
      writer.octet(field.value & 0xff)
      break
    case 's':
    case 'u':
      writer.short(field.value & 0xffff)
      break
    case 'I':
    case 'i':
      writer.long(field.value >>> 0)
      break
    case 'f':
    case 'd':
      writeFloat(writer, field.tag, field.value)
      break
    case 'l':
    case 'L':
    case 'T': {
      const bits = BigInt.asUintN(64, field.value)
      writer.long(Number(bits >> 32n))
      writer.long(Number(bits & 0xffff_ffffn))
      break
    }
    case 'D':
      writer.octet(field.value.scale)
      writer.long(field.value.unscaled)
      break
    case 'S':
    case 'x':
      writer.longstr(field.value)
      break
    case 'A':
      writer.sized(() => {
        for (const each of field.value) writeField(writer, each)
      })
      break
    case 'F':
      writeTable(writer, field.value)
      break
    case 'V':
      break
  }
}

function writeFloat(writer: Writer, tag: 'f' | 'd', value: number): void {
  const bytes = Buffer.allocUnsafe(tag === 'f' ? 4 : 8)
  if (tag === 'f') bytes.writeFloatBE(value)
  else bytes.writeDoubleBE(value)
  writer.bytes(bytes)
}
