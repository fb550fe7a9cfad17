import type { Clock } from '../base/clock.ts'
import { Failure, fail, isFailure, reason } from '../base/errors.ts'
import { redact } from '../base/redact.ts'
import { urlParts } from '../base/url.ts'

/**
 * One request to RabbitMQ's management API; `path` is the part after `/api/`, in pieces and not encoded. Returns the
 * answer's JSON, undefined if it has none. `ManagementFailed`, with status 404 for a missing object.
 * @see https://rawcdn.githack.com/rabbitmq/rabbitmq-server/v3.10.8/deps/rabbitmq_management/priv/www/api/index.html
 */
export type Management = (method: 'GET' | 'PUT' | 'DELETE', path: readonly string[], body?: unknown) => Promise<unknown>

const enable = 'Is the plugin enabled there? rabbitmq-plugins enable rabbitmq_management (docs/rabbitmq.md)'
const timeoutMs = 10_000

/** Reads `bus.management_url`: http://user:password@host:15672. `ConfigInvalid`; no text ever shows the password. */
export function openManagement(text: string, clock: Clock): Management {
  const { shown, base, authorization } = parse(text)

  const refuse = (why: string, hint: string, status?: number, cause?: unknown): never => {
    throw new Failure('ManagementFailed', { url: shown, why, hint, ...(status === undefined ? {} : { status }) }, cause)
  }

  return async (method, path, body) => {
    const giveUp = new AbortController()
    const cancel = clock.after(timeoutMs, () => giveUp.abort())
    try {
      const answer = await fetch(`${base}/api/${path.map(encodeURIComponent).join('/')}`, {
        method,
        headers: { authorization, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: giveUp.signal,
      })
      const text = await answer.text()
      const { status } = answer
      if (status === 401 || status === 403) {
        const hint = 'The tags and permissions that the user of bus.management_url needs: docs/rabbitmq.md'
        return refuse(`it refused the user (${status} ${explain(text)})`, hint, status)
      }
      if (!answer.ok) return refuse(`${method} ${path.join('/')}: ${status} ${explain(text)}`, enable, status)
      return text === '' ? undefined : readJson(text, refuse)
    } catch (e) {
      if (isFailure(e)) throw e
      if (giveUp.signal.aborted) return refuse(`no answer within ${timeoutMs / 1000} s`, enable, undefined, e)
      return refuse(inWords(e), enable, undefined, e)
    } finally {
      cancel()
    }
  }
}

/** Whether the object of the request does not exist. */
export const isMissing = (e: unknown): boolean => isFailure(e, 'ManagementFailed') && e.params.status === 404

function parse(text: string): { shown: string; base: string; authorization: string } {
  const key = 'bus.management_url'
  const allowed = 'it must be http://user:password@host:15672 (or https://)'
  const parts = urlParts(text, { key, allowed })
  if (!['http:', 'https:'].includes(parts.protocol))
    return fail('ConfigInvalid', { key, value: redact(text), allowed, source: 'as given' })
  const login = `${parts.user || 'guest'}:${parts.password || (parts.user === '' ? 'guest' : '')}`
  const { origin, pathname } = new URL(text)
  const base = `${origin}${pathname.replace(/\/+$/, '')}`
  const shown = base.replace('//', `//${encodeURIComponent(parts.user || 'guest')}:***@`)
  return { shown, base, authorization: `Basic ${Buffer.from(login).toString('base64')}` }
}

function readJson(text: string, refuse: (why: string, hint: string) => never): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return refuse('the answer is not JSON', enable)
  }
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
  const cause = (e as { cause?: { code?: string } }).cause
  if (cause?.code === 'ECONNREFUSED') return 'nothing listens there (ECONNREFUSED)'
  if (cause?.code === 'ENOTFOUND' || cause?.code === 'EAI_AGAIN') return `unknown host name (${cause.code})`
  return reason(cause ?? e) || String(cause?.code ?? 'unknown')
}
