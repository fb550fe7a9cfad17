import { type Code, Failure, failures, isFailure, type Params, RemoteError } from '../base/errors.ts'
import { brief, isRecord } from './envelope.ts'

/** Python classes that are not in nova.exception. oslo.messaging rebuilds only those of nova.exception. */
const modules: Readonly<Record<string, string>> = {
  UnsupportedVersion: 'oslo_messaging.rpc.dispatcher',
  NoSuchMethod: 'oslo_messaging.rpc.dispatcher',
  MessagingTimeout: 'oslo_messaging.exceptions',
  MessageDeliveryFailure: 'oslo_messaging.exceptions',
}

/**
 * Anything thrown, as the JSON text that oslo.messaging carries in `failure`. Python reads class, module, message, tb,
 * args and kwargs and nothing else; the keys `nova_*` are ours: with them the caller rebuilds the same {@link Failure}.
 */
export function writeFailure(thrown: unknown, requestId: string): string {
  if (isFailure(thrown)) {
    const { python, http } = failures[thrown.code]
    const module = modules[python] ?? 'nova.exception'
    return JSON.stringify({
      class: python,
      module,
      message: thrown.message,
      tb: [],
      args: [thrown.message],
      // NovaException accepts any keyword; `code` is the HTTP status that its API answers with.
      kwargs: module === 'nova.exception' ? { code: http } : {},
      nova_code: thrown.code,
      nova_params: thrown.params,
      nova_request_id: requestId,
    })
  }
  const described = describe(thrown)
  return JSON.stringify({
    class: described.class,
    module: 'nova',
    message: described.message,
    tb: described.stack.split('\n').map((line) => `${line}\n`),
    args: [described.message],
    kwargs: {},
    nova_request_id: requestId,
  })
}

function describe(thrown: unknown): { class: string; message: string; stack: string } {
  // A failure of a third side keeps its class.
  if (thrown instanceof RemoteError) {
    return { class: thrown.remoteClass, message: thrown.remoteMessage, stack: thrown.remoteStack }
  }
  if (thrown instanceof Error) {
    return { class: thrown.name, message: thrown.message, stack: thrown.stack ?? `${thrown.name}: ${thrown.message}` }
  }
  return { class: typeof thrown, message: brief(thrown), stack: '' }
}

/**
 * The error in a reply's `failure`, to be thrown: the same {@link Failure} as on the other side if it is one of ours or
 * means the same as one, otherwise a {@link RemoteError}. `requestId` is the caller's, for peers that do not send
 * theirs.
 */
export function readFailure(text: unknown, requestId: string): Failure | RemoteError {
  const wire = parse(text)
  if (wire === undefined) return new RemoteError('unknown', `the answer cannot be read: ${brief(text)}`, requestId, '')
  const message = typeof wire.message === 'string' ? wire.message : ''
  const remoteId = typeof wire.nova_request_id === 'string' ? wire.nova_request_id : requestId
  const stack = Array.isArray(wire.tb) ? wire.tb.filter((line) => typeof line === 'string').join('') : ''
  return (
    rebuilt(wire) ??
    translated(wire, message) ??
    new RemoteError(typeof wire.class === 'string' ? wire.class : 'unknown', message, remoteId, stack)
  )
}

function parse(text: unknown): Record<string, unknown> | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function rebuilt(wire: Record<string, unknown>): Failure | undefined {
  const code = wire.nova_code
  if (typeof code !== 'string' || !Object.hasOwn(failures, code) || !isRecord(wire.nova_params)) return undefined
  try {
    return new Failure(code as Code, wire.nova_params as Params<Code>)
  } catch {
    // A peer of another version, whose parameters do not fit our sentence.
    return undefined
  }
}

type Keywords = Readonly<Record<string, unknown>>
const word = (keywords: Keywords, ...names: string[]): string | undefined => {
  const name = names.find((n) => typeof keywords[n] === 'string')
  return name === undefined ? undefined : (keywords[name] as string)
}
const named =
  (...names: string[]) =>
  (keywords: Keywords) => {
    const id = word(keywords, ...names, 'id', 'name')
    return id === undefined ? undefined : { id }
  }

type Translations = { readonly [C in Code]?: (keywords: Keywords, message: string) => Params<C> | undefined }

/**
 * The meaning of exceptions of Python's Nova here, and their keywords: the class is that of the row. No two of these
 * rows may have the same class.
 */
export const translations: Translations = {
  InstanceNotFound: named('instance_id', 'instance_uuid', 'uuid'),
  FlavorNotFound: named('flavor_id', 'flavor_name'),
  ImageNotFound: named('image_id'),
  HostNotFound: named('host', 'name_or_id'),
  ServiceNotFound: named('service_id'),
  OperationNotFound: named('action_id', 'request_id'),
  FlavorExists: (keywords) => {
    const name = word(keywords, 'name', 'flavor_id')
    return name === undefined ? undefined : { name }
  },
  InstanceInvalidState: (keywords) => {
    const [name, state, verb] = [word(keywords, 'instance_uuid'), word(keywords, 'state'), word(keywords, 'method')]
    return name === undefined || state === undefined || verb === undefined
      ? undefined
      : { name, state, verb, allowed: [] }
  },
  QuotaExceeded: (keywords) => {
    const resource = word(keywords, 'overs')
    const [limit, used, wanted] = [keywords.allowed, keywords.used, keywords.req].map(Number)
    return resource === undefined || !Number.isFinite(limit) || !Number.isFinite(used) || !Number.isFinite(wanted)
      ? undefined
      : { resource, limit: limit!, used: used!, wanted: wanted! }
  },
  NoValidHost: (keywords, message) => ({ reason: word(keywords, 'reason') ?? message }),
  Forbidden: (_keywords, message) => ({ what: message }),
}

const codeOf = new Map((Object.keys(translations) as Code[]).map((code) => [failures[code].python as string, code]))

function translated(wire: Record<string, unknown>, message: string): Failure | undefined {
  if (wire.module !== 'nova.exception' || typeof wire.class !== 'string') return undefined
  const code = codeOf.get(wire.class)
  if (code === undefined) return undefined
  const params = translations[code]?.(isRecord(wire.kwargs) ? wire.kwargs : {}, message)
  return params === undefined ? undefined : new Failure(code, params as Params<Code>)
}
