import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missing } from './missing.ts'

const bin = '/usr/lib/rabbitmq/bin'
const run = promisify(execFile)

/** A RabbitMQ node of the test's own, which may be killed and wiped without harm to the machine's. */
export type PrivateRabbit = {
  readonly url: string
  /** Its management API, where that was asked for. */
  readonly managementUrl: string
  /** The same by TLS, where that was asked for. */
  readonly tlsUrl: string
  ctl(...args: string[]): Promise<string>
  /** SIGKILL to the whole node. */
  kill(): Promise<void>
  /** Starts it again on the same port, with what its disk kept. */
  start(): Promise<void>
  /** `stop_app; reset; start_app`: every queue, exchange and message gone. */
  wipe(): Promise<void>
  stop(): Promise<void>
}

/** What a node has besides AMQP: the management plugin, and a listener with TLS (paths of PEM files). */
export type RabbitParts = { management?: boolean; tls?: { ca: string; cert: string; key: string } }

/** Starts a node on free ports; undefined, and said, where RabbitMQ is not installed. */
export async function privateRabbit({ management = false, tls }: RabbitParts = {}): Promise<PrivateRabbit | undefined> {
  if (!existsSync(`${bin}/rabbitmq-server`))
    return missing('rabbitmq', 'RabbitMQ is not installed (apt-get install rabbitmq-server)')
  const dir = mkdtempSync(join(tmpdir(), 'nv-rabbit-'))
  writeFileSync(join(dir, 'plugins'), management ? '[rabbitmq_management].\n' : '[].\n')
  const [port, distPort, managementPort, tlsPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ]
  const settings = [
    'collect_statistics_interval = 1000',
    ...(management ? ['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${managementPort}`] : []),
    ...(tls
      ? [
          `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
          `ssl_options.cacertfile = ${tls.ca}`,
          `ssl_options.certfile = ${tls.cert}`,
          `ssl_options.keyfile = ${tls.key}`,
          'ssl_options.verify = verify_peer',
          'ssl_options.fail_if_no_peer_cert = false',
        ]
      : []),
  ]
  writeFileSync(join(dir, 'rabbitmq.conf'), `${settings.join('\n')}\n`)
  const env = {
    ...process.env,
    HOME: dir,
    RABBITMQ_NODENAME: `nova${port}@localhost`,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    RABBITMQ_PID_FILE: join(dir, 'pid'),
  }
  let node: ReturnType<typeof spawn> | undefined

  const start = async () => {
    // Detached: a process group of its own, so that the node goes with its script.
    const child = spawn(`${bin}/rabbitmq-server`, [], {
      cwd: dir,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    node = child
    const ready = new Promise<void>((resolve) => {
      const look = (chunk: Buffer) => chunk.includes('Server startup complete') && resolve()
      child.stdout.on('data', look)
      child.stderr.resume()
    })
    await Promise.race([
      ready,
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`RabbitMQ ended with ${code}`))),
    ])
  }
  const kill = async () => {
    if (!node || node.exitCode !== null || node.signalCode !== null) return
    const ended = once(node, 'exit')
    process.kill(-(node.pid ?? 0), 'SIGKILL')
    await ended
  }
  const ctl = async (...args: string[]) =>
    (await run(`${bin}/rabbitmqctl`, ['-q', ...args], { env, cwd: dir, maxBuffer: 64 << 20 })).stdout
  await start()
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}/`,
    managementUrl: `http://guest:guest@127.0.0.1:${managementPort}`,
    tlsUrl: `amqps://guest:guest@127.0.0.1:${tlsPort}/`,
    ctl,
    kill,
    start,
    async wipe() {
      for (const verb of ['stop_app', 'reset', 'start_app']) await ctl(verb)
    },
    async stop() {
      await kill()
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** A TCP port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
