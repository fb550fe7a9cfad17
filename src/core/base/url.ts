import { fail } from './errors.ts'
import { redact } from './redact.ts'

/** A URL taken apart, with nothing encoded any more. What the URL does not have is empty. */
export type UrlParts = {
  protocol: string
  /** Without the brackets of an IPv6 address. */
  host: string
  port: number | undefined
  user: string
  password: string
  /** With the slash at its beginning. */
  path: string
  params: URLSearchParams
}

/** The option that a URL was given by, and what it may be: for the error. */
type Given = { key: string; allowed: string }

const encoding = 'in the user, password or path write % as %25, / as %2F, # as %23, ? as %3F, @ as %40'

/** Takes the URL of an option apart. `ConfigInvalid`, without its password, if the text is no URL. */
export function urlParts(text: string, { key, allowed }: Given): UrlParts {
  const refuse = (): never =>
    fail('ConfigInvalid', { key, value: redact(text), allowed: `${allowed}; ${encoding}`, source: 'as given' })
  if (!URL.canParse(text)) return refuse()
  const { protocol, hostname, port, username, password, pathname, searchParams, hash } = new URL(text)
  // What stands behind a # goes nowhere: most likely a password or a path with one in it.
  if (hash !== '') return refuse()
  try {
    return {
      protocol,
      host: withoutBrackets(hostname),
      port: port === '' ? undefined : Number(port),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      path: decodeURIComponent(pathname),
      params: searchParams,
    }
  } catch {
    return refuse()
  }
}

/** An IPv6 address as programs take it: `::1`, not `[::1]`. */
const withoutBrackets = (host: string): string => host.replace(/^\[|\]$/g, '')

/** A path as a URL takes it. */
export const pathInUrl = (path: string): string => path.split('/').map(encodeURIComponent).join('/')
