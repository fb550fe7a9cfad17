import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Clock } from '../base/clock.ts'
import { Failure, fail, isFailure, reason } from '../base/errors.ts'
import { redact } from '../base/redact.ts'
import { certificateTrouble } from '../base/tls.ts'
import { urlParts } from '../base/url.ts'

/**
 * One request to RabbitMQ's management API; `path` is the part after `/api/`, in pieces and not encoded. Returns the
 * answer's JSON, undefined if it has none. `ManagementFailed`, with status 404 for a missing object.
 * @see https://rawcdn.githack.com/rabbitmq/rabbitmq-server/v3.10.8/deps/rabbitmq_management/priv/www/api/index.html
 */
export type Management = (
  method: 'GET' | 'PUT' | 'DELETE',
  path: readonly string[],
  more?: { readonly body?: unknown; readonly query?: Readonly<Record<string, string>> },
) => Promise<unknown>

const enable = 'Is the plugin enabled there? rabbitmq-plugins enable rabbitmq_management (docs/rabbitmq.md)'
const timeoutMs = 10_000
/** The largest answer that is read. */
const answerMax = 16 << 20

/** The management API on one node. */
type Node = { readonly shown: string; readonly base: string; readonly authorization: string }
type Answer = { readonly status: number; readonly text: string }

/**
 * Reads `bus.management_url`: http://user:password@host:15672, several separated by commas. Each request goes to the
 * first of them that answers. `ca` must have signed the certificate of an https:// URL; the machine's own list of CAs if
 * unset. `ConfigInvalid`; no text ever shows the password.
 */
export function openManagement(text: string, clock: Clock, ca?: Buffer): Management {
  /** Those that failed last stand at the end. */
  let nodes = text.split(',').map((each) => parse(each.trim()))

  return async (method, path, { body, query = {} } = {}) => {
    const what = `${path.map(encodeURIComponent).join('/')}?${new URLSearchParams(query)}`.replace(/\?$/, '')
    const written = body === undefined ? undefined : JSON.stringify(body)
    const silent: string[] = []
    for (const node of nodes) {
      const answer = await ask(node, { method, what, body: written, ca, clock }).catch((e: unknown) => inWords(e))
      if (typeof answer !== 'string') return read(answer, node, `${method} ${path.join('/')}`)
      silent.push(answer)
      nodes = [...nodes.filter((each) => each !== node), node]
    }
    const url = nodes.map(({ shown }) => shown).join(',')
    throw new Failure('ManagementFailed', { url, why: [...new Set(silent)].join('; '), hint: enable })
  }
}

type Ask = {
  readonly method: string
  readonly what: string
  readonly body: string | undefined
  readonly ca: Buffer | undefined
  readonly clock: Clock
}

/** One request to one node; rejects if no whole answer comes in time. */
async function ask({ base, authorization }: Node, { method, what, body, ca, clock }: Ask): Promise<Answer> {
  const giveUp = new AbortController()
  const late = new Error(`no answer within ${timeoutMs / 1000} s`)
  const cancel = clock.after(timeoutMs, () => giveUp.abort(late))
  const headers = { authorization, 'content-type': 'application/json' }
  const options = { method, headers, signal: giveUp.signal, ...(ca === undefined ? {} : { ca }) }
  try {
    const sent = (base.startsWith('https:') ? https : http).request(`${base}/api/${what}`, options)
    sent.end(body)
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    const pieces: Buffer[] = []
    let bytes = 0
    for await (const piece of response as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > answerMax) throw new Error(`the answer has more than ${answerMax} bytes`)
      pieces.push(piece)
    }
    return { status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString() }
  } catch (e) {
    throw giveUp.signal.aborted ? late : e
  } finally {
    cancel()
  }
}

/** The JSON of an answer. */
function read({ status, text }: Answer, { shown: url }: Node, what: string): unknown {
  if (status === 401 || status === 403) {
    const hint = 'The tags and permissions that the user of bus.management_url needs: docs/rabbitmq.md'
    return fail('ManagementFailed', { url, why: `it refused the user (${status} ${explain(text)})`, hint, status })
  }
  if (status < 200 || status > 299)
    return fail('ManagementFailed', { url, why: `${what}: ${status} ${explain(text)}`, hint: enable, status })
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (e) {
    return fail('ManagementFailed', { url, why: 'the answer is not JSON', hint: enable }, e)
  }
}

/** Whether the object of the request does not exist. */
export const isMissing = (e: unknown): boolean => isFailure(e, 'ManagementFailed') && e.params.status === 404

function parse(text: string): Node {
  const key = 'bus.management_url'
  const allowed = 'it must be http://user:password@host:15672 (or https://), several separated by commas'
  const parts = urlParts(text, { key, allowed })
  if (!['http:', 'https:'].includes(parts.protocol))
    return fail('ConfigInvalid', { key, value: redact(text), allowed, source: 'as given' })
  const login = `${parts.user || 'guest'}:${parts.password || (parts.user === '' ? 'guest' : '')}`
  const { origin, pathname } = new URL(text)
  const base = `${origin}${pathname.replace(/\/+$/, '')}`
  const shown = base.replace('//', `//${encodeURIComponent(parts.user || 'guest')}:***@`)
  return { shown, base, authorization: `Basic ${Buffer.from(login).toString('base64')}` }
}

/** `{"error": …, "reason": …}` in a few words. */
function explain(body: string): string {
  try {
    const { error, reason: why } = JSON.parse(body) as { error?: unknown; reason?: unknown }
    return String(why ?? error ?? '').slice(0, 200)
  } catch {
    return ''
  }
}

function inWords(e: unknown): string {
  const { code } = e as { code?: string }
  if (code === 'ECONNREFUSED') return 'nothing listens there (ECONNREFUSED)'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `unknown host name (${code})`
  return certificateTrouble(e) ?? (reason(e) || String(code ?? 'unknown'))
}
