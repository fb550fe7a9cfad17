import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { exec } from '../../src/core/base/exec.ts'
import type { QueueKind } from '../../src/core/rpc/topology.ts'
import { type Backend, Cloud } from './cloud.ts'
import { missing } from './missing.ts'
import { freePort } from './private-rabbitmq.ts'

/** Debian's packages belong to Debian's interpreter, which need not be the first on the path. */
const interpreters = ['/usr/bin/python3', 'python3']

/** An interpreter that has these modules of Debian's packages; undefined where there is none (a failure where it is required). */
export async function withModules(modules: string, packages: string): Promise<string | undefined> {
  for (const interpreter of interpreters) {
    const { code } = await exec(interpreter, ['-c', `import ${modules}`])
    if (code === 0) return interpreter
  }
  return missing('python', `no interpreter has ${modules} (Debian: ${packages})`)
}

/** An interpreter that has oslo.messaging and Nova. */
export const python = (): Promise<string | undefined> =>
  withModules('oslo_messaging, nova.exception, nova.context, nova.rpc', 'python3-oslo.messaging python3-nova')

type Line = Readonly<Record<string, unknown>>

/** A program of `test/system/python`, which reads and writes lines of JSON. */
export class PythonPeer {
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #answers = new Map<number, (line: Line) => void>()
  readonly #heard = new Map<unknown, Line>()
  readonly #listeners = new Map<unknown, (line: Line) => void>()
  #stderr = ''
  #asked = 0

  private constructor(interpreter: string, program: string, args: readonly string[]) {
    this.#child = spawn(interpreter, [resolve(import.meta.dirname, '../system/python', program), ...args], {
      stdio: 'pipe',
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    })
    this.#ended = once(this.#child, 'exit')
    this.#child.stderr?.on('data', (data: Buffer) => {
      this.#stderr += data
    })
  }

  /** Starts a program; resolves when it says that it is ready. */
  static async start(interpreter: string, program: string, ...args: string[]): Promise<PythonPeer> {
    const peer = new PythonPeer(interpreter, program, args)
    const ready = new Promise<void>((yes) => peer.#read(yes))
    const ended = peer.#ended.then(() => {
      throw new Error(`${program} ended: ${peer.#stderr}`)
    })
    await Promise.race([ready, ended])
    ended.catch(() => undefined)
    return peer
  }

  #read(ready: () => void): void {
    const { stdout } = this.#child
    if (stdout === null) throw new Error('a program without output')
    createInterface(stdout).on('line', (text) => {
      const line = JSON.parse(text) as Line
      if (line.ready === true) return ready()
      if (typeof line.id === 'number') return this.#answers.get(line.id)?.(line)
      this.#heard.set(line.heard, line)
      this.#listeners.get(line.heard)?.(line)
    })
  }

  /** Has the client carry out a wish; its result or what it raised. */
  ask(request: object): Promise<Line> {
    const id = ++this.#asked
    return new Promise((yes) => {
      this.#answers.set(id, (line) => {
        this.#answers.delete(id)
        const { id: _, ...answer } = line
        yes(answer)
      })
      this.#child.stdin?.write(`${JSON.stringify({ ...request, id })}\n`)
    })
  }

  /** The line that the server writes when it hears this. */
  heard(what: string): Promise<Line> {
    const line = this.#heard.get(what)
    return line ? Promise.resolve(line) : new Promise((yes) => this.#listeners.set(what, yes))
  }

  /** Ends the input, and with it the program. */
  async stop(): Promise<void> {
    this.#child.stdin?.end()
    await this.#ended
  }
}

/** The URL of a bus for oslo.messaging, which takes its options there, too: those that fit our `bus.queues`. */
export const osloUrl = (url: string, queues: QueueKind): string =>
  `${url.replace(/^amqp:/, 'rabbit:')}${osloFlags[queues]}`
const osloFlags: Record<QueueKind, string> = {
  durable: '?amqp_durable_queues=true',
  quorum: '?rabbit_quorum_queue=true',
  transient: '',
}

/** A cloud of one pretended host whose bus may be reached by TCP, and the URL of that bus. */
export async function cloudWithPort(
  backend: Backend,
  settings: Record<string, string>,
): Promise<{ cloud: Cloud; url: string }> {
  const port = await freePort()
  const cloud = await Cloud.open(backend, {
    NOVA_BROKER_LISTEN: `127.0.0.1:${port}`,
    ...settings,
  })
  await cloud.up('--driver', 'fake')
  if (cloud.env.NOVA_BUS_URL !== undefined) return { cloud, url: cloud.env.NOVA_BUS_URL }
  const password = readFileSync(join(cloud.stateDir, 'run', 'bus.password'), 'utf8').trim()
  return { cloud, url: `amqp://nova:${password}@127.0.0.1:${port}/` }
}
