import { fail } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import { hostOfBusUser, isReplyQueueOf } from '../model/bus-user.ts'
import type { Context } from '../model/context.ts'
import { brief, isRecord } from './envelope.ts'
import { readContext } from './request-context.ts'

/** The target of an answer. */
export type ReturnPath = { readonly queue: string; readonly id: string }

/** A message to a server, parsed but not checked against a contract. */
export type Request = {
  readonly method: string
  readonly namespace: string | undefined
  readonly version: string
  readonly args: Record<string, unknown>
  readonly context: Context
}

/** Names longer than this do not fit into AMQP's short strings. */
const shortString = 255

/**
 * Where to send the answer; undefined for a cast, or if that is no queue for answers: ours and those of oslo.messaging begin
 * with `reply_`, and a host's carry its name. An answer goes out with our login, so nobody may send it to another's queue.
 */
export function returnPath(
  message: Readonly<Record<string, unknown>>,
  busUser: string | undefined,
): ReturnPath | undefined {
  const { _msg_id: id, _reply_q: queue } = message
  if (typeof id !== 'string' || typeof queue !== 'string' || id === '') return undefined
  const host = busUser === undefined ? undefined : hostOfBusUser(busUser)
  const isTheirs = host === undefined ? queue.startsWith('reply_') : isReplyQueueOf(host, queue)
  return isTheirs && Buffer.byteLength(queue) <= shortString ? { queue, id } : undefined
}

/** The id that identifies duplicates of a message. */
export const uniqueId = (message: Readonly<Record<string, unknown>>): string | undefined =>
  typeof message._unique_id === 'string' && message._unique_id !== '' ? message._unique_id : undefined

/** Whoever asks for signs of life more often gets them so often, in seconds: each costs us more than the caller. */
const timeoutMin = 1

/** The interval at which the caller wants a sign of life, in milliseconds: half of the seconds in `_timeout`. */
export function beatMs(message: Readonly<Record<string, unknown>>): number | undefined {
  const seconds = message._timeout
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds <= 0) return undefined
  return Math.max(seconds, timeoutMin) * 500
}

/** Parses the rest of the message; `InvalidRequest` if a peer may not send this. */
export function readRequest(message: Readonly<Record<string, unknown>>, ids: Ids): Request {
  const { method, namespace, version, args } = message
  if (typeof method !== 'string' || method === '') {
    fail('InvalidRequest', { what: `the message names no method: ${brief(method)}` })
  }
  if (namespace !== undefined && namespace !== null && typeof namespace !== 'string') {
    fail('InvalidRequest', { what: `${method}: the namespace is not a text: ${brief(namespace)}` })
  }
  if (args !== undefined && args !== null && !isRecord(args)) {
    fail('InvalidRequest', { what: `${method}: the arguments are not an object: ${brief(args)}` })
  }
  return {
    method,
    namespace: namespace ?? undefined,
    version: version === undefined || version === null ? '1.0' : brief(version),
    args: args ?? {},
    context: readContext(message, ids),
  }
}
