import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { systemClock } from '../../src/core/base/clock.ts'
import { fail } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { startBroker } from '../../src/core/broker/broker.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import type { Instance, InstanceSummary, Operation } from '../../src/core/contracts/shapes.ts'
import type { Context } from '../../src/core/model/context.ts'
import { type Bus, served } from '../../src/core/rpc/bus.ts'
import { connectBus } from '../../src/core/rpc/connect.ts'
import type { Api } from '../../src/core/rpc/contract.ts'

const program = resolve(import.meta.dirname, '../../bin/run.js')

type Conductor = Api<typeof conductor>
/** What the stand-in answers; what is not there fails as a method that nobody knows. */
export type Answers = Partial<Conductor>
export type Ran = { code: number | null; stdout: string; stderr: string }

/** A broker with a conductor that says what a test wants it to say, and the real command in real processes before it. */
export type StandIn = {
  answers: Answers
  /** Every question that arrived, in order. */
  readonly asked: Array<{ method: string; ctx: Context; args: unknown }>
  readonly bus: Bus
  readonly url: string
  /** Runs `nova …` to its end. `env` on top of one in which nothing of nova is set. */
  nova(args: readonly string[], env?: Record<string, string>, input?: string | Buffer): Promise<Ran>
  /** Starts `nova …` and leaves it running. */
  start(args: readonly string[], env?: Record<string, string>): ChildProcess
  close(): Promise<void>
}

/** The environment of a command: this one without what somebody set for nova, for colours or for node. */
export const cleanEnv = (more: Record<string, string>): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) =>
      value === undefined || /^(NOVA_|NODE_|NO_COLOR|FORCE_COLOR|VITEST)/.test(key) ? [] : [[key, value]],
    ),
  ),
  ...more,
})

/** Runs `nova …` to its end in that environment. */
export async function nova(
  args: readonly string[],
  env: Record<string, string>,
  input: string | Buffer = '',
): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...args], { env: cleanEnv(env), stdio: 'pipe' })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((done) => child.on('close', (exit) => done(exit))),
  ])
  return { code, stdout, stderr }
}

export async function startStandIn(answers: Answers = {}): Promise<StandIn> {
  const stateDir = mkdtempSync(join(tmpdir(), 'nova-cli-'))
  const broker = await startBroker({ listen: [{ port: 0 }], users: { nova: 'pass-word' }, log: silentLog })
  const { port } = broker.addresses()[0] as { port: number }
  const url = `amqp://nova:pass-word@127.0.0.1:${port}`
  const bus = await connectBus({
    url,
    name: 'stand-in',
    log: silentLog,
    clock: systemClock,
    ids: systemIds,
    callTimeoutMs: 10_000,
  })
  const environment = { NOVA_BUS_URL: url, NOVA_STATE_DIR: stateDir, NOVA_CONFIG: '/dev/null' }
  const asked: StandIn['asked'] = []
  const standIn: StandIn = {
    answers,
    asked,
    bus,
    url,
    nova: (args, env = {}, input) => nova(args, { ...environment, ...env }, input),
    start: (args, env = {}) =>
      spawn(process.execPath, [program, ...args], { env: cleanEnv({ ...environment, ...env }), stdio: 'pipe' }),
    async close() {
      await bus.close()
      await broker.close()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
  const api = Object.fromEntries(
    Object.keys(conductor.methods).map((method) => [
      method,
      (ctx: Context, args: unknown) => {
        asked.push({ method, ctx, args })
        const answer = standIn.answers[method as keyof Conductor] as
          | ((ctx: Context, args: unknown) => unknown)
          | undefined
        return answer ? answer(ctx, args) : fail('UnknownMethod', { topic: 'conductor', method })
      },
    ]),
  ) as unknown as Conductor
  await bus.serve([served(conductor, api)], { server: 'stand-in', slots: 32 })
  return standIn
}

export const ids = {
  web: '11111111-1111-4111-8111-111111111111',
  db: '22222222-2222-4222-8222-222222222222',
  boot: '33333333-3333-4333-8333-333333333333',
  pause: '44444444-4444-4444-8444-444444444444',
  image: '55555555-5555-4555-8555-555555555555',
}
const noon = Date.UTC(2025, 0, 31, 12)

/** An instance as a conductor lists it. */
export const webSummary: InstanceSummary = {
  id: ids.web,
  name: 'web',
  status: 'ACTIVE',
  power: 'RUNNING',
  host: 'host1',
  flavor: 'm1.nano',
  image: 'tiny',
  projectId: 'default',
  createdAt: noon,
}

/** The same with all that is known of it. */
export const webInstance: Instance = {
  ...webSummary,
  size: { vcpus: 1, memoryMb: 64, diskGb: 1 },
  imageId: ids.image,
  userId: 'root',
  metadata: { role: 'front, "A"', tier: '1' },
  hints: {},
  hasUserData: false,
  macAddress: 'fa:16:3e:12:34:56',
  generation: 1,
  updatedAt: noon + 1000,
}

/** An operation as a conductor describes it; `changes` say how far it is. */
export const anOperation = (changes: Partial<Operation> = {}): Operation => ({
  id: ids.boot,
  kind: 'boot',
  state: 'running',
  subject: { kind: 'instance', id: ids.web, name: 'web' },
  attempt: 1,
  requestId: 'req-1',
  createdAt: noon,
  steps: [],
  hosts: [],
  deadline: noon + 600_000,
  cancelRequested: false,
  userId: 'root',
  projectId: 'default',
  ...changes,
})
