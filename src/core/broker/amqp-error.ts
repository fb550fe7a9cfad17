/** The reply codes of AMQP 0-9-1 (specification §1.2) under the names that RabbitMQ puts in front of its texts. */
const replyCodes = {
  CONTENT_TOO_LARGE: 311,
  NO_ROUTE: 312,
  CONNECTION_FORCED: 320,
  INVALID_PATH: 402,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
  FRAME_ERROR: 501,
  SYNTAX_ERROR: 502,
  COMMAND_INVALID: 503,
  CHANNEL_ERROR: 504,
  UNEXPECTED_FRAME: 505,
  RESOURCE_ERROR: 506,
  NOT_ALLOWED: 530,
  NOT_IMPLEMENTED: 540,
  INTERNAL_ERROR: 541,
} as const

export type ReplyName = keyof typeof replyCodes

/** Codes that close only the channel; every other code closes the connection. */
const soft: ReadonlySet<number> = new Set([311, 312, 403, 404, 405, 406])

/** A peer's mistake, which becomes the `close` sent to the peer. */
export class AmqpError extends Error {
  readonly code: number
  /** Whether the whole connection must be closed: true for the specification's hard errors. */
  readonly hard: boolean

  constructor(name: ReplyName, text: string, hard?: boolean) {
    super(`${name} - ${text}`)
    this.name = 'AmqpError'
    this.code = replyCodes[name]
    this.hard = hard ?? !soft.has(this.code)
  }
}

/** Ends the current method with a reply code; the dispatcher closes the channel or the connection with it. */
export function refuse(name: ReplyName, text: string): never {
  throw new AmqpError(name, text)
}
