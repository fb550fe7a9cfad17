import { AmqpError } from './amqp-error.ts'
import { type Field, integerOf, sameField, type Table, textOf } from './field-table.ts'

/** The behaviour of a queue, from its `x-` arguments. */
export type QueueArguments = {
  /** A queue that is unused for this long is deleted. */
  expiresMs: number | undefined
  /** How long a message may wait in it. */
  messageTtlMs: number | undefined
  maxLength: number | undefined
  maxLengthBytes: number | undefined
  overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  deadLetterExchange: string | undefined
  deadLetterRoutingKey: string | undefined
  maxPriority: number
}

/** Arguments that a second declaration must repeat; others are not compared, as in RabbitMQ. */
const compared = [
  'x-expires',
  'x-message-ttl',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-max-length',
  'x-max-length-bytes',
  'x-overflow',
  'x-max-priority',
  'x-queue-type',
]

const overflows = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const

/** Reads a queue's arguments; 406 for an invalid value. `where` names the queue in the text. */
export function readQueueArguments(args: Table, where: string): QueueArguments {
  const refused = (name: string, why: string) =>
    new AmqpError('PRECONDITION_FAILED', `invalid arg '${name}' for ${where}: ${why}`)
  const integer = (name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined => {
    const field = args.get(name)
    if (field === undefined) return undefined
    const value = integerOf(field)
    if (value === undefined) throw refused(name, 'not an integer')
    if (value < least) throw refused(name, `{value_${value < 0 ? 'negative' : 'zero'},${value}}`)
    if (value > most) throw refused(name, `{value_too_big,${value}}`)
    return value
  }
  const text = (name: string): string | undefined => {
    const field = args.get(name)
    const value = textOf(field)
    if (field !== undefined && value === undefined) throw refused(name, 'not a string')
    return value
  }
  const overflow = text('x-overflow') ?? 'drop-head'
  const known = overflows.find((each) => each === overflow)
  if (!known) throw refused('x-overflow', `unknown value '${overflow}'`)
  const type = text('x-queue-type') ?? 'classic'
  if (type !== 'classic' && type !== 'quorum') throw refused('x-queue-type', `unsupported queue type '${type}'`)
  const deadLetterExchange = text('x-dead-letter-exchange')
  const deadLetterRoutingKey = text('x-dead-letter-routing-key')
  if (deadLetterRoutingKey !== undefined && deadLetterExchange === undefined) {
    throw refused('x-dead-letter-routing-key', 'routing_key_but_no_dlx_defined')
  }
  const longest = 2 ** 32 - 1
  return {
    expiresMs: integer('x-expires', 1, longest),
    messageTtlMs: integer('x-message-ttl', 0, longest),
    maxLength: integer('x-max-length', 0),
    maxLengthBytes: integer('x-max-length-bytes', 0),
    overflow: known,
    deadLetterExchange,
    deadLetterRoutingKey,
    maxPriority: integer('x-max-priority', 0, 255) ?? 0,
  }
}

function shown(field: Field): string {
  return textOf(field) ?? String(integerOf(field) ?? field.value)
}

/** The text of the first difference between the arguments of two declarations; undefined if they agree. */
export function differentArgument(
  received: Table,
  current: Table,
  where: string,
  names: readonly string[] = compared,
): string | undefined {
  for (const name of names) {
    const [a, b] = [received.get(name), current.get(name)]
    if (a === undefined && b === undefined) continue
    if (a !== undefined && b !== undefined && sameField(a, b)) continue
    const left = a === undefined ? 'none' : `'${shown(a)}'`
    const right = b === undefined ? 'none' : `'${shown(b)}'`
    return `inequivalent arg '${name}' for ${where}: received ${left} but current is ${right}`
  }
  return undefined
}
