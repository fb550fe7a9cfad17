import type { connect } from 'amqplib'

/** What amqplib's own `connect` takes for one of our bus URLs, which may name a unix socket. */
export function dialable(url: string): Parameters<typeof connect> {
  const { protocol, username, password, pathname, searchParams } = new URL(url)
  if (protocol !== 'amqp+unix:') return [url, { noDelay: true }]
  const vhost = searchParams.get('vhost') ?? '/'
  return [
    {
      protocol: 'amqp',
      hostname: 'localhost',
      username: decodeURIComponent(username),
      password: decodeURIComponent(password),
      vhost,
    },
    { path: decodeURIComponent(pathname) },
  ]
}
