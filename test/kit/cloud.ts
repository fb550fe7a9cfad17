import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { systemClock } from '../../src/core/base/clock.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { loadConfig } from '../../src/core/config/load.ts'
import { busUrl } from '../../src/core/config/places.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import type { Context } from '../../src/core/model/context.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import { connectBus } from '../../src/core/rpc/connect.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { databases } from './databases.ts'
import { hasRabbitmq, rabbitmq } from './rabbitmq.ts'

const program = resolve(import.meta.dirname, '../../bin/run.js')

/** What a command printed and how it ended. */
export type Ran = { code: number; stdout: string; stderr: string }

/** SQLite + the embedded broker, or MariaDB + RabbitMQ. */
export type Backend = 'embedded' | 'services'

/** The back ends that can run on this machine; what is missing is said, or fails where it is required. */
export async function backends(): Promise<Backend[]> {
  const [bus, mysql] = await Promise.all([hasRabbitmq(), mysqlDatabases()])
  return bus && mysql ? ['embedded', 'services'] : ['embedded']
}

const mysqlDatabases = async () => (await databases()).find(({ name }) => name === 'mysql')

/** Who asks in tests: an administrator of the default project. */
export const admin = (): Context => ({
  requestId: systemIds.requestId(),
  userId: 'tester',
  projectId: 'default',
  roles: ['admin'],
  isAdmin: true,
})

/** A daemon of its own, as systemd would run it. */
export type Daemon = {
  readonly process: ChildProcess
  /** SIGKILL, and the end of the process awaited. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** A cloud in a directory of its own, driven by the real commands in real processes. */
export class Cloud {
  readonly stateDir: string
  readonly env: Record<string, string>
  readonly #undo: Array<() => Promise<unknown> | unknown> = []

  private constructor(stateDir: string, env: Record<string, string>) {
    this.stateDir = stateDir
    this.env = env
  }

  /** Nothing runs yet: `up()` or `daemon()` start it. `settings` are environment variables of all its processes. */
  static async open(backend: Backend, settings: Record<string, string> = {}): Promise<Cloud> {
    // Short, because sockets live below it.
    const stateDir = mkdtempSync(join(tmpdir(), 'nv-'))
    const env: Record<string, string> = {
      NOVA_STATE_DIR: stateDir,
      NOVA_CONFIG: '/dev/null',
      NOVA_COMPUTE_HOST: 'host',
      ...settings,
    }
    const cloud = new Cloud(stateDir, env)
    cloud.#undo.push(() => rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 }))
    if (backend === 'services') {
      const [bus, database] = await Promise.all([rabbitmq(), mysqlDatabases().then((mysql) => mysql?.open())])
      if (!bus || !database) throw new Error('ask backends() first')
      cloud.#undo.push(
        () => bus.drop(),
        () => database.drop(),
      )
      env.NOVA_BUS_URL ??= bus.url
      env.NOVA_DATABASE_URL ??= database.url
    }
    return cloud
  }

  /** Runs `nova …` to its end. */
  nova(...args: string[]): Promise<Ran> {
    return new Promise((done) => {
      const env = { ...process.env, NO_COLOR: '1', ...this.env }
      execFile(process.execPath, [program, ...args], { env, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
        done({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr }),
      )
    })
  }

  /** Runs `nova … -f json` and gives what it printed; a failure of the command is one of the test. */
  async json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.nova(...args, '-f', 'json')
    if (code !== 0) throw new Error(`nova ${args.join(' ')} exited ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  /** `nova up`, and its end with the cloud's. */
  async up(...args: string[]): Promise<Ran> {
    this.#undo.push(async () => {
      // A cloud that was broken on purpose cannot be asked for its instances; its daemons stop all the same.
      if ((await this.nova('down', '--instances')).code !== 0) await this.nova('down')
    })
    const ran = await this.nova('up', ...args)
    if (ran.code !== 0) throw new Error(`nova up exited ${ran.code}: ${ran.stderr}\n${this.log()}`)
    return ran
  }

  /** Starts `nova daemon NAME …` as a process of its own; resolves when it says that it is ready. */
  daemon(name: string, settings: Record<string, string> = {}, log: number | 'inherit' = 'inherit'): Promise<Daemon> {
    return this.#process(['daemon', name], settings, log)
  }

  /** `nova up --foreground …`: the whole cloud as one process without a supervisor, which can be killed as one. */
  upInFront(...args: string[]): Promise<Daemon> {
    return this.#process(['up', '--foreground', ...args])
  }

  async #process(
    command: string[],
    settings: Record<string, string> = {},
    log: number | 'inherit' = 'inherit',
  ): Promise<Daemon> {
    const child = fork(program, command, {
      env: { ...process.env, NOVA_LOG_LEVEL: 'warn', ...this.env, ...settings },
      stdio: ['ignore', 'inherit', log, 'ipc'],
    })
    const ended = once(child, 'exit') as Promise<[number | null]>
    const daemon: Daemon = {
      process: child,
      async kill() {
        child.kill('SIGKILL')
        await ended
      },
      async stop() {
        child.kill('SIGTERM')
        return (await ended)[0]
      },
    }
    this.#undo.push(() => (child.exitCode === null && child.signalCode === null ? daemon.stop() : undefined))
    const ready = new Promise<void>((resolve) => {
      child.on('message', (message) => 'ready' in (message as object) && resolve())
    })
    const first = await Promise.race([ready, ended.then(([code]) => `exit ${code}`)])
    if (typeof first === 'string') throw new Error(`nova ${command.join(' ')}: ${first}`)
    return daemon
  }

  /** A link to this cloud's bus, for tests that ask or listen without a command. */
  async bus(): Promise<Bus> {
    const config = await loadConfig({ env: this.env })
    const bus = await connectBus({
      url: busUrl(config),
      queues: config.bus.queues,
      name: 'test',
      log: silentLog,
      clock: systemClock,
      ids: systemIds,
    })
    this.#undo.push(() => bus.close())
    return bus
  }

  async conductor(): Promise<Api<typeof conductor>> {
    return (await this.bus()).client(conductor)
  }

  /** The log of `nova up`. */
  log(): string {
    try {
      return readFileSync(join(this.stateDir, 'log', 'nova.log'), 'utf8')
    } catch {
      return ''
    }
  }

  /** Ends everything of this cloud in reverse order, its machines too. */
  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo()
      } catch (e) {
        console.warn(`closing the cloud in ${this.stateDir}:`, e)
      }
    }
  }
}
