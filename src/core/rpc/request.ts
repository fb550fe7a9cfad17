import { fail } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Context } from '../model/context.ts'
import { brief, isRecord } from './envelope.ts'
import { readContext } from './request-context.ts'

/** Where an answer goes. */
export type ReturnPath = { readonly queue: string; readonly id: string }

/** A message to a server, read but not yet understood. */
export type Request = {
  readonly method: string
  readonly namespace: string | undefined
  readonly version: string
  readonly args: Record<string, unknown>
  readonly context: Context
}

/** Names longer than this do not fit into AMQP's short strings. */
const shortString = 255

/** Where to answer to; undefined for a cast, or where it is not said in full. */
export function returnPath(message: Readonly<Record<string, unknown>>): ReturnPath | undefined {
  const { _msg_id: id, _reply_q: queue } = message
  if (typeof id !== 'string' || typeof queue !== 'string' || id === '' || queue === '') return undefined
  return Buffer.byteLength(queue) > shortString ? undefined : { queue, id }
}

/** The id that tells a message from its duplicate. */
export const uniqueId = (message: Readonly<Record<string, unknown>>): string | undefined =>
  typeof message._unique_id === 'string' && message._unique_id !== '' ? message._unique_id : undefined

/** How often the caller wants a sign of life, in milliseconds: twice in the seconds that `_timeout` names. */
export function beatMs(message: Readonly<Record<string, unknown>>): number | undefined {
  const seconds = message._timeout
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 500 : undefined
}

/** Reads the rest; `InvalidRequest` where it is not what a peer may send. */
export function readRequest(message: Readonly<Record<string, unknown>>, ids: Ids): Request {
  const { method, namespace, version, args } = message
  if (typeof method !== 'string' || method === '') {
    fail('InvalidRequest', { what: `the message names no method: ${brief(method)}` })
  }
  if (namespace !== undefined && namespace !== null && typeof namespace !== 'string') {
    fail('InvalidRequest', { what: `${method}: the namespace is no text: ${brief(namespace)}` })
  }
  if (args !== undefined && args !== null && !isRecord(args)) {
    fail('InvalidRequest', { what: `${method}: the arguments are no object: ${brief(args)}` })
  }
  return {
    method,
    namespace: namespace ?? undefined,
    version: version === undefined || version === null ? '1.0' : brief(version),
    args: args ?? {},
    context: readContext(message, ids),
  }
}
