/** The AMQP reply codes that we check. */
export const replyCodes = {
  /** The queue or exchange does not exist. */
  missing: 404,
  /** The queue is exclusive to another connection. */
  locked: 405,
  /** It exists with other flags. */
  inequivalent: 406,
} as const

/** The reply code with which a broker closed a channel; undefined for an error of another kind. */
export const codeOf = (e: unknown): unknown => (e as { code?: unknown } | undefined)?.code
