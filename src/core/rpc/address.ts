import type { Options, SocketOptions } from 'amqplib'
import { fail } from '../base/errors.ts'
import { redact, splitUrls } from '../base/redact.ts'
import { urlParts } from '../base/url.ts'

/** The address of a broker and the login for it. `shown` is the URL without its password: the only form for people. */
export type Address = {
  readonly shown: string
  readonly connect: Options.Connect & { readonly username: string }
  readonly socket: SocketOptions
}

/** The allowed form of `bus.url`, for error texts. */
const addressForm =
  'it must be amqp://user:password@host:port/vhost (or amqps://), or amqp+unix://user:password@/path/to/socket?vhost=name, ' +
  'several of them separated by commas'

/**
 * Seconds between heartbeats; a silent broker is given up after two to three of them. `?heartbeat=` overrides the
 * value.
 */
export const heartbeatS = 10

/** A bus URL, or several, with another user and password in each. */
export const withLogin = (urls: string, user: string, password: string): string =>
  splitUrls(urls)
    .map((url) => url.replace(/:\/\/(.*@)?/s, `://${encodeURIComponent(user)}:${encodeURIComponent(password)}@`))
    .join(',')

/** Reads a bus URL, or several separated by commas. `ConfigInvalid` if one cannot be parsed. */
export function parseAddresses(urls: string): [Address, ...Address[]] {
  const [first, ...rest] = splitUrls(urls).map(parseAddress)
  return [first!, ...rest]
}

function parseAddress(text: string): Address {
  const shown = redact(text)
  const refuse = (): never =>
    fail('ConfigInvalid', { key: 'bus.url', value: shown, allowed: addressForm, source: 'as given' })
  const unix = text.startsWith('amqp+unix://')
  // A URL with a user must have a host, so a socket's URL gets one for parsing.
  const readable = unix ? text.replace(/^amqp\+unix:\/\/([^/]*@)?\//, 'amqp+unix://$1localhost/') : text
  const { protocol, host, port, user, password, path, params } = urlParts(readable, {
    key: 'bus.url',
    allowed: addressForm,
  })
  if (!['amqp:', 'amqps:', 'amqp+unix:'].includes(protocol) || host === '') return refuse()
  if (unix && path.length < 2) return refuse()
  const vhost = (unix ? params.get('vhost') : path.slice(1)) || '/'
  const heartbeat = Number(params.get('heartbeat') ?? heartbeatS)
  if (!Number.isInteger(heartbeat) || heartbeat < 0 || heartbeat > 0xffff) return refuse()
  return {
    shown,
    connect: {
      protocol: protocol === 'amqps:' ? 'amqps' : 'amqp',
      hostname: host,
      ...(port === undefined ? {} : { port }),
      username: user || 'guest',
      password: password || (user === '' ? 'guest' : ''),
      // amqplib decodes the virtual host once more.
      vhost: encodeURIComponent(vhost),
      heartbeat,
    },
    // net.connect prefers `path` to `host` and `port`; amqplib's types know only the options of TLS, which have `path`
    // as well.
    socket: unix ? { path } : {},
  }
}
