import { describeError } from '../../src/cli/show-error.ts'
import { systemClock } from '../../src/core/base/clock.ts'
import { Failure } from '../../src/core/base/errors.ts'
import type { Host, OperationSummary, Published } from '../../src/core/contracts/shapes.ts'
import { Feed, type FeedDeps } from '../../src/tui/feed.ts'
import { webSummary } from '../cli/stand-in.ts'

/** Noon of a day in 2025, where time stands still. */
export const noon = Date.UTC(2025, 0, 31, 12)

export const host = (name: string, changes: Partial<Host> = {}): Host => ({
  name,
  state: 'up',
  status: 'enabled',
  availabilityZone: 'nova',
  driver: 'fake',
  hypervisor: 'fake',
  accelerator: 'none',
  total: { vcpus: 8, memoryMb: 8192, diskGb: 100 },
  used: { vcpus: 4, memoryMb: 2048, diskGb: 95 },
  limit: { vcpus: 16, memoryMb: 8192, diskGb: 100 },
  instances: 1,
  seenAt: noon,
  ...changes,
})

export const operation = (changes: Partial<OperationSummary> = {}): OperationSummary => ({
  id: '66666666-6666-4666-8666-666666666666',
  kind: 'boot',
  state: 'succeeded',
  subject: { kind: 'instance', id: webSummary.id, name: 'web' },
  attempt: 1,
  requestId: 'req-1',
  createdAt: noon - 60_000,
  finishedAt: noon - 59_000,
  ...changes,
})

type Answers = Partial<Record<string, (args: Record<string, unknown>) => unknown>>

/** A feed from a conductor that says what a test wants it to say; `asked` has every question. */
export async function stillFeed(answers: Answers = {}, deps: Partial<FeedDeps> = {}) {
  const asked: Array<{ method: string; args: Record<string, unknown> }> = []
  let now = noon
  let onEvent = (_event: { key: string; body: unknown }): void => undefined
  let link = (_up: boolean): void => undefined
  const usual: Answers = {
    status: () => ({
      version: '0.1.0',
      database: { dialect: 'sqlite', version: '3.50', migration: '0007' },
      services: [],
      instances: { ACTIVE: 1 },
      operations: { failed: 0 },
      hosts: { up: 1, down: 0, disabled: 0 },
    }),
    instanceList: () => ({ instances: [webSummary] }),
    hostList: () => ({ hosts: [host('host1')] }),
    operationList: () => ({ operations: [operation()] }),
    eventList: () => ({ events: [] }),
    ping: () => ({ version: '0.1.0', now: noon }),
  }
  const bus = {
    up: true,
    subscribe: async (_patterns: readonly string[], listener: typeof onEvent) => {
      onEvent = listener
      return async () => undefined
    },
    onLink: (listener: typeof link) => {
      link = listener
      return () => undefined
    },
    queues: async (names: readonly string[]) => names.map((name) => ({ name, messages: 0, consumers: 1 })),
  }
  const feed = await Feed.open({
    ask: (async (method: string, args: Record<string, unknown>) => {
      asked.push({ method, args })
      const answer = answers[method] ?? usual[method]
      if (!answer) throw new Failure('UnknownMethod', { topic: 'conductor', method })
      return answer(args)
    }) as FeedDeps['ask'],
    bus,
    clock: { ...systemClock, now: () => now },
    describe: describeError,
    isAdmin: true,
    ...deps,
  })
  return {
    feed,
    asked,
    /** Lets an event arrive. */
    describe: (event: Partial<Published>): void =>
      onEvent({ key: '', body: { id: 1, at: noon, requestId: 'req-1', projectId: 'default', ...event } }),
    /** Lets so much time pass, in ms. */
    pass: (ms: number): void => {
      now += ms
    },
    /** Takes the link away, or brings it back. */
    link: (up: boolean): void => {
      bus.up = up
      link(up)
    },
  }
}
