import { isPlain } from '../base/invisible.ts'

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

/** Whether a text may be the id of a user or project. */
export const isIdentity = (text: string): boolean => text.length >= 1 && text.length <= 255 && isPlain(text)
/** What {@link isIdentity} asks for, for errors. */
export const identityForm = '1 to 255 visible characters, without a blank at either end'

/** The context of work that a daemon does on its own account. */
export const serviceContext = (service: string, requestId: string): Context => ({
  requestId,
  userId: service,
  projectId: 'service',
  roles: ['service'],
  isAdmin: true,
})
