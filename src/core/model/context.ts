/** Who asks, for which project, and under which request id; it rides on every message as `_context_*`. */
export type Context = {
  /** One request, from the command through every log line to the operation: `req-` and a UUID. */
  readonly requestId: string
  readonly userId: string
  readonly projectId: string
  readonly roles: readonly string[]
  readonly isAdmin: boolean
  /** Who has sent the message to the broker, as the broker vouches for it; never from the message's body. Absent if it does not say. */
  readonly busUser?: string
}

/** The context of work that a daemon does on its own account. */
export const serviceContext = (service: string, requestId: string): Context => ({
  requestId,
  userId: service,
  projectId: 'service',
  roles: ['service'],
  isAdmin: true,
})
