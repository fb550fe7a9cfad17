/** AMQP's reply codes that we look at. */
export const replyCodes = {
  /** There is no such queue or exchange. */
  missing: 404,
  /** The queue is another connection's alone. */
  locked: 405,
  /** It is there with other flags. */
  inequivalent: 406,
} as const

/** The reply code with which a broker closed a channel; undefined for an error of another kind. */
export const codeOf = (e: unknown): unknown => (e as { code?: unknown } | undefined)?.code
