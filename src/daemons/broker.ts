import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { allow, ruleOfKeeping } from '../core/auth/policy.ts'
import { Failure, fail } from '../core/base/errors.ts'
import { newPassword } from '../core/base/ids.ts'
import type { Log } from '../core/base/log.ts'
import { checkOwned, ownDirectory } from '../core/base/own-directory.ts'
import type { Tls } from '../core/base/tls.ts'
import { urlParts } from '../core/base/url.ts'
import { version } from '../core/base/version.ts'
import { type Broker, startBroker } from '../core/broker/broker.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import { hostName } from '../core/config/host-name.ts'
import type { Config } from '../core/config/load.ts'
import { keeperUrl, places } from '../core/config/places.ts'
import { broker as contract, notificationsPolicy } from '../core/contracts/broker.ts'
import { fullest, leftOut } from '../core/model/bus-queues.ts'
import { hostConnections, hostMessageBytes, hostsPolicy } from '../core/model/bus-user.ts'
import type { Context } from '../core/model/context.ts'
import { withLogin } from '../core/rpc/address.ts'
import { served } from '../core/rpc/bus.ts'
import type { Api } from '../core/rpc/contract.ts'
import { bodyLimitBytes } from '../core/rpc/envelope.ts'
import { joinBus, type Runtime } from './runtime.ts'

/** The kernel's limit for the path of a socket, in bytes. */
const socketPathMax = 107

/** Concurrent requests to the broker's keeper. */
const slots = 8

/** The virtual host that everybody uses. */
const vhost = '/'

/**
 * Starts the embedded broker on its socket in the state directory and on the configured addresses. Then it connects to
 * its own bus and serves the contract of a broker's keeper there.
 */
export async function startEmbeddedBroker(runtime: Runtime): Promise<void> {
  const { config, log, onStop } = runtime
  const { run, busSocket, keeperSocket } = places(config.stateDir)
  if (Buffer.byteLength(keeperSocket) > socketPathMax) {
    const allowed = `too long: the path of a socket may have ${socketPathMax} bytes, but ${keeperSocket} is longer`
    fail('ConfigInvalid', { key: 'state_dir', value: config.stateDir, allowed, source: 'NOVA_STATE_DIR' })
  }
  ownDirectory(config.stateDir, 'state_dir')
  ownDirectory(run, 'state_dir')
  // The sockets always exist: commands on this machine find the bus there.
  const own = [{ path: busSocket }, { path: keeperSocket, pastAlarm: true }]
  const listen = [...own, ...config.broker.listen.map(address)]
  const broker = await startBroker({
    listen,
    tls: certificatesFor(config),
    users: { [config.broker.user]: busPassword(config) },
    usersFile: places(config.stateDir).busUsers,
    policies: [
      {
        ...notificationsPolicy,
        maxLength: config.notifications.maxLength,
        messageTtlMs: Math.ceil(config.notifications.ttlSeconds * 1000),
      },
      hostsPolicy,
    ],
    messageBytes: bodyLimitBytes,
    userLimits: { ...hostConnections, messageBytes: hostMessageBytes, receivedBytes: hostsPolicy.maxLengthBytes },
    heartbeatSeconds: config.broker.heartbeatSeconds,
    log: log.child({ part: 'broker' }),
  })
  onStop(() => broker.close())
  const bus = await joinBus(runtime, 'broker', keeperUrl(config))
  const manager = permittedKeeper(brokerManager(broker, log, urlFor(config)))
  const serving = await bus.serve([served(contract, manager)], { server: hostName(config), slots })
  onStop(() => serving.stop())
}

/** What the keeper of the broker answers, for callers whom the rule of the message allows it: `Forbidden` for others. */
export function permittedKeeper(api: Api<typeof contract>): Api<typeof contract> {
  type Method = keyof (typeof contract)['methods']
  type Ask = (ctx: Context, args: unknown) => Promise<unknown>
  const wrap = (method: Method): [Method, Ask] => {
    const ask = api[method] as Ask
    return [
      method,
      async (ctx, args) => {
        allow(ctx, ruleOfKeeping(method))
        return ask(ctx, args)
      },
    ]
  }
  return Object.fromEntries((Object.keys(contract.methods) as Method[]).map(wrap)) as unknown as Api<typeof contract>
}

/** What the keeper of the embedded broker answers. */
function brokerManager(
  running: Broker,
  log: Log,
  urlOf: ((user: string, password: string) => string) | undefined,
): Api<typeof contract> {
  return {
    async queueList() {
      const { connections, messageBytes, messageBytesMax, blocked, queues } = running.stats()
      const here = queues.filter((queue) => queue.vhost === vhost)
      const all = here.map((queue) => ({ ...queue, messages: queue.depth + queue.unacked }))
      const partial = leftOut(all.length)
      return {
        broker: {
          product: 'embedded',
          version,
          blocked: blocked ? ['memory alarm'] : [],
          connections,
          memoryBytes: messageBytes,
          memoryLimitBytes: messageBytesMax,
          policies: [notificationsPolicy.name, hostsPolicy.name],
          ...(partial === undefined ? {} : { partial }),
        },
        queues: fullest(all).map(({ name, messages, depth, unacked, consumers, bytes, policy, ...rates }) => ({
          name,
          messages,
          ready: depth,
          unacked,
          consumers,
          memoryBytes: bytes,
          publishRate: rates.publishRate,
          deliverRate: rates.deliverRate,
          ackRate: rates.ackRate,
          ...(policy === undefined ? {} : { policy }),
        })),
      }
    },
    async queuePurge({ requestId, userId }, { queue }) {
      const messages = running.purge(vhost, queue)
      if (messages === undefined) throw new Failure('QueueNotFound', { id: queue })
      log.warn({ queue, messages, requestId, userId }, 'a queue was purged')
      return { messages }
    },
    async userPut(_ctx, { user, permissions }) {
      const { known, password } = running.putUser(user, permissions)
      return { known, password, ...(urlOf && { url: urlOf(user, password) }) }
    },
    userDelete: async (_ctx, { user }) => ({ known: running.deleteUser(user) }),
  }
}

/**
 * How another machine reaches this broker: the first TCP address that it is configured to listen on, one with TLS before
 * others; undefined if there is none.
 */
function urlFor({ broker }: Config): ((user: string, password: string) => string) | undefined {
  const tcp = broker.listen.map(address).filter((at) => 'host' in at)
  const [best] = [...tcp].sort((a, b) => Number(b.tls) - Number(a.tls))
  if (!best) return undefined
  const host = ['0.0.0.0', '[::]', '::'].includes(best.host) ? hostname() : best.host
  return (user, password) =>
    withLogin(
      `${best.tls ? 'amqps' : 'amqp'}://${host.includes(':') ? `[${host}]` : host}:${best.port}`,
      user,
      password,
    )
}

/** The broker's password: created at first start, kept in a file that only its owner may read. */
function busPassword(config: Config): string {
  const path = places(config.stateDir).busPassword
  try {
    writeFileSync(path, `${newPassword()}\n`, { mode: 0o600, flag: 'wx' })
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e
  }
  checkOwned(path, 'state_dir')
  return readFileSync(path, 'utf8').trim()
}

/** The certificate for addresses with `tls:`; required if there is such an address. */
function certificatesFor(config: Config): Tls | undefined {
  const tls = certificatesOf(config, 'broker')
  const secure = config.broker.listen.find((at) => at.startsWith('tls:'))
  if (secure !== undefined && !tls?.cert)
    fail('ConfigInvalid', {
      key: 'broker.cert_file',
      value: config.broker.certFile || '(nothing)',
      allowed: `broker.listen has ${secure}, which needs a certificate and its key`,
      source: config.sources['broker.cert_file'] ?? 'default',
    })
  return tls
}

/** `unix:/path`, `host:port` or `[v6]:port`, the last two optionally with `tls:` in front. */
function address(text: string): { path: string } | { host: string; port: number; tls: boolean } {
  if (text.startsWith('unix:')) return { path: text.slice('unix:'.length) }
  const tls = text.startsWith('tls:')
  const allowed = 'HOST:PORT, tls:HOST:PORT or unix:/PATH'
  const { host, port } = urlParts(`tcp://${tls ? text.slice('tls:'.length) : text}`, { key: 'broker.listen', allowed })
  return { host, port: port ?? (tls ? 5671 : 5672), tls }
}
