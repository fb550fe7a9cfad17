import type { Clock } from '../base/clock.ts'
import { fail } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import { type Context, identityForm, isIdentity } from '../model/context.ts'

/**
 * The context as keys `_context_*` of a message, with a comma before each, ready to stand before the closing brace.
 * Python's RequestContext.from_dict reads these. No auth token is among them: the bus is no place for one.
 */
export function contextWriter(clock: Clock): (context: Context) => string {
  const written = new WeakMap<Context, string>()
  return (context) => {
    const known = written.get(context)
    if (known !== undefined) return known
    const text = write(context, clock.now())
    written.set(context, text)
    return text
  }
}

function write(context: Context, now: number): string {
  const keys = {
    _context_user_id: context.userId,
    _context_project_id: context.projectId,
    _context_roles: context.roles,
    _context_is_admin: context.isAdmin,
    _context_request_id: context.requestId,
    _context_global_request_id: null,
    // Python's isoformat: microseconds and no zone.
    _context_timestamp: `${new Date(now).toISOString().slice(0, -1)}000`,
    _context_read_deleted: 'no',
    _context_user_name: context.userId,
    _context_project_name: context.projectId,
    _context_user: context.userId,
    _context_project: context.projectId,
  }
  return `,${JSON.stringify(keys).slice(1, -1)}`
}

/** As a request id is kept; another text of a peer is no use to anybody who searches for it. */
const requestIdForm = /^[\w.-]{1,64}$/
const rolesMax = 100

/**
 * The context of a received message. A missing or malformed value becomes an empty one, and a request id that cannot be kept
 * a new one. `InvalidRequest` if the user or the project is no id.
 */
export function readContext(message: Readonly<Record<string, unknown>>, ids: Ids): Context {
  const roles = message._context_roles
  const requestId = textOf(message._context_request_id)
  const userId = textOf(message._context_user_id) ?? textOf(message._context_user) ?? ''
  const projectId =
    textOf(message._context_project_id) ?? textOf(message._context_project) ?? textOf(message._context_tenant) ?? ''
  for (const [what, id] of Object.entries({ user: userId, project: projectId }))
    if (id !== '' && !isIdentity(id)) fail('InvalidRequest', { what: `The id of the ${what} must be ${identityForm}.` })
  return {
    requestId: requestId !== undefined && requestIdForm.test(requestId) ? requestId : ids.requestId(),
    userId,
    projectId,
    roles: Array.isArray(roles) ? roles.slice(0, rolesMax).filter((role) => typeof role === 'string') : [],
    isAdmin: message._context_is_admin === true,
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
