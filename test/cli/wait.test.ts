import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { showOperations } from '../../src/cli/progress.ts'
import { awaitOperations, failureOf } from '../../src/cli/wait.ts'
import { awaitInstance } from '../../src/cli/wait-instance.ts'
import { systemClock } from '../../src/core/base/clock.ts'
import { Failure } from '../../src/core/base/errors.ts'
import type { Instance, Operation, OperationSummary, Published } from '../../src/core/contracts/shapes.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import { anOperation, ids, type StandIn, startStandIn, webInstance } from './stand-in.ts'

let standIn: StandIn
beforeAll(async () => {
  standIn = await startStandIn()
})
afterAll(() => standIn.close())

/** The bus of the stand-in, with a word for when somebody listens, and a link that a test can let come back. */
function listeningBus() {
  let listening = (): void => undefined
  const heard = new Promise<void>((resolve) => {
    listening = resolve
  })
  const links: Array<(up: boolean) => void> = []
  const bus: Pick<Bus, 'subscribe' | 'onLink'> = {
    async subscribe(patterns, hear) {
      const off = await standIn.bus.subscribe(patterns, hear)
      listening()
      return off
    },
    onLink(listener) {
      links.push(listener)
      return () => undefined
    },
  }
  return { bus, heard, comeBack: () => links.forEach((listener) => void listener(true)) }
}

/** Publishes as the conductor does. */
const publish = (type: string, operation: Published['operation'], id: string = ids.boot) =>
  standIn.bus.publish(`${type}.${ids.web}.${id}`, {
    id: 1,
    at: 1,
    type,
    instanceId: ids.web,
    instanceName: 'web',
    operationId: id,
    requestId: 'req-1',
    projectId: 'default',
    operation,
  } satisfies Published)

/** Answers in turn; the last answer for ever after. `asked` resolves after so many questions. */
function answers<T>(...list: Array<T | Error>) {
  let count = 0
  const waiters: Array<{ count: number; resolve: () => void }> = []
  return {
    show: async (): Promise<T> => {
      const answer = list[Math.min(count, list.length - 1)]!
      count += 1
      for (const waiter of waiters) if (count >= waiter.count) setImmediate(waiter.resolve)
      if (answer instanceof Error) throw answer
      return answer
    },
    asked: (n: number) =>
      new Promise<void>((resolve) => (count >= n ? resolve() : waiters.push({ count: n, resolve }))),
    get count() {
      return count
    },
  }
}

const succeeded = { kind: 'boot', state: 'succeeded', attempt: 1 } as const

describe('waiting for an operation', () => {
  test('that has ended already asks once', async () => {
    const { bus } = listeningBus()
    const asked = answers<Operation>(anOperation({ state: 'succeeded' }))
    const [ended] = await awaitOperations({ bus, clock: systemClock, show: asked.show }, [ids.boot])
    expect(ended).toMatchObject({ state: 'succeeded' })
    expect(asked.count).toBe(1)
  })

  test('learns of steps and of the end from events, without asking again', async () => {
    const { bus } = listeningBus()
    const asked = answers<Operation>(anOperation())
    const steps: Array<string | undefined> = []
    const onProgress = (o: OperationSummary) => void steps.push(o.step ?? o.state)
    const waiting = awaitOperations({ bus, clock: systemClock, show: asked.show, onProgress }, [ids.boot])
    await asked.asked(1)
    await publish('operation.step', { kind: 'boot', state: 'running', step: 'disk', attempt: 1 })
    await publish('instance.create.end', { ...succeeded, step: 'start' })
    expect(await waiting).toMatchObject([{ state: 'succeeded', step: 'start', finishedAt: 1 }])
    expect(steps).toEqual(['running', 'disk', 'start'])
    expect(asked.count).toBe(1)
  })

  test('listens before it asks, so that an end between the two is not missed', async () => {
    const { bus, heard } = listeningBus()
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let count = 0
    const show = async () => {
      count += 1
      if (count > 1) return anOperation({ state: 'succeeded' })
      await heard
      // The end is told while the first answer, already old, is on its way.
      await publish('instance.create.end', succeeded)
      setTimeout(release, 50)
      await held
      return anOperation()
    }
    const [ended] = await awaitOperations({ bus, clock: systemClock, show }, [ids.boot])
    expect(ended?.state).toBe('succeeded')
    expect(count).toBe(2)
  })

  test('asks again when the link comes back', async () => {
    const { bus, comeBack } = listeningBus()
    const asked = answers<Operation>(anOperation(), anOperation({ state: 'failed' }))
    const waiting = awaitOperations({ bus, clock: systemClock, show: asked.show }, [ids.boot])
    await asked.asked(1)
    comeBack()
    expect(await waiting).toMatchObject([{ state: 'failed' }])
  })

  test('bears with a conductor that is away for a while', async () => {
    const { bus, comeBack } = listeningBus()
    const away = new Failure('HostUnreachable', { target: 'conductor' })
    const asked = answers<Operation>(anOperation(), away, anOperation({ state: 'succeeded' }))
    const waiting = awaitOperations({ bus, clock: systemClock, show: asked.show }, [ids.boot])
    await asked.asked(1)
    comeBack()
    await asked.asked(2)
    comeBack()
    expect(await waiting).toMatchObject([{ state: 'succeeded' }])
  })

  test('that is not there fails at once', async () => {
    const { bus } = listeningBus()
    const asked = answers<Operation>(new Failure('OperationNotFound', { id: ids.boot }))
    await expect(awaitOperations({ bus, clock: systemClock, show: asked.show }, [ids.boot])).rejects.toMatchObject({
      code: 'OperationNotFound',
    })
  })

  test('gives up after its time and says how to follow it', async () => {
    const { bus } = listeningBus()
    const asked = answers<Operation>(anOperation({ step: 'disk' }))
    const waiting = awaitOperations({ bus, clock: systemClock, show: asked.show }, [ids.boot], { timeoutMs: 60 })
    await expect(waiting).rejects.toMatchObject({
      text: 'Not done after 0.06 s: boot of web at step "disk". It continues.',
      hint: `Follow it: nova operation follow ${ids.boot}`,
      exitCode: 1,
    })
  })

  test('is ended by its signal, also while an answer is outstanding', async () => {
    const { bus, heard } = listeningBus()
    const stop = new AbortController()
    const show = () => new Promise<Operation>(() => undefined)
    const waiting = awaitOperations({ bus, clock: systemClock, show }, [ids.boot], { signal: stop.signal })
    await heard
    stop.abort()
    await expect(waiting).rejects.toMatchObject({ exitCode: 130, text: expect.stringContaining('continues') })
  })

  test('hears progress and undoing, without a question for each', async () => {
    const { bus, heard } = listeningBus()
    const asked = answers<Operation>(anOperation({ kind: 'migrate', step: 'send', host: 'host1' }))
    const lines: string[] = []
    const show = showOperations({ show: (text) => void lines.push(text), end: () => undefined }, [ids.boot])
    const waiting = awaitOperations({ bus, clock: systemClock, show: asked.show, onProgress: show }, [ids.boot])
    await heard
    await expect.poll(() => lines.length).toBe(1)
    const running = { kind: 'migrate', state: 'running', attempt: 1 } as const
    const progress = { what: 'disk', doneBytes: 541_165_879, totalBytes: 1_288_490_188 }
    await publish('operation.progress', { ...running, progress })
    await publish('operation.step', { ...running, step: 'stop', undoing: true })
    await publish('instance.migrate.error', { ...running, state: 'failed' })
    expect(await waiting).toMatchObject([{ state: 'failed' }])
    expect(lines).toEqual([
      'migrate web: send on host1',
      'migrate web: send on host1, disk 42 % of 1.2 GiB',
      'migrate web: undoing stop on host1',
      expect.stringContaining('migrate web'),
    ])
    expect(asked.count).toBe(1)
  })

  test('follows several and gives them back in their order', async () => {
    const { bus } = listeningBus()
    const show = async (id: string) => anOperation({ id, state: id === ids.pause ? 'succeeded' : 'running' })
    const progress: string[] = []
    const waiting = awaitOperations({ bus, clock: systemClock, show, onProgress: (o) => void progress.push(o.id) }, [
      ids.boot,
      ids.pause,
    ])
    await expect.poll(() => progress.length).toBe(2)
    await publish('instance.create.error', { ...succeeded, state: 'failed' })
    expect((await waiting).map((o) => [o.id, o.state])).toEqual([
      [ids.boot, 'failed'],
      [ids.pause, 'succeeded'],
    ])
  })
})

test('an operation that failed becomes an error with its fault and what to do', () => {
  const fault = {
    code: 'NoValidHost',
    message: 'No valid host was found: 2 hosts: 2 full',
    hint: 'nova explain web',
    at: 1,
  }
  expect(failureOf(anOperation({ state: 'succeeded' }))).toBeUndefined()
  expect(failureOf(anOperation({ state: 'failed', step: 'place', fault }))).toMatchObject({
    text: 'The boot of web failed at step "place": No valid host was found: 2 hosts: 2 full',
    hint: 'nova explain web',
    exitCode: 1,
  })
  expect(failureOf(anOperation({ state: 'cancelled' }))).toMatchObject({ text: 'The boot of web was cancelled.' })
})

describe('waiting for an instance', () => {
  const building: Instance = { ...webInstance, status: 'BUILD', task: 'spawning', power: 'NOSTATE' }
  const wait = (
    asked: { show: () => Promise<Instance> },
    wanted?: Parameters<typeof awaitInstance>[2],
    timeoutMs?: number,
  ) => awaitInstance({ bus: listeningBus().bus, clock: systemClock, show: asked.show }, 'web', wanted, { timeoutMs })

  test('ends when nothing is being done to it any more', async () => {
    const asked = answers<Instance>(building, building, webInstance)
    const waiting = wait(asked)
    await asked.asked(2)
    await publish('instance.create.end', succeeded)
    expect(await waiting).toMatchObject({ status: 'ACTIVE' })
    expect(asked.count).toBe(3)
  })
  test('fails with its fault where it comes to rest in ERROR', async () => {
    const fault = { code: 'DriverFailed', message: 'no QEMU', hint: 'nova doctor', at: 1 }
    await expect(wait(answers<Instance>({ ...webInstance, status: 'ERROR', fault }))).rejects.toMatchObject({
      text: 'web is in ERROR: no QEMU',
      hint: 'nova doctor',
    })
  })
  test('for DELETED ends when it is gone, and when it never was', async () => {
    const gone = new Failure('InstanceNotFound', { id: 'web' })
    expect(await wait(answers<Instance>(webInstance, gone), 'DELETED')).toBeUndefined()
    expect(await wait(answers<Instance>(gone), 'DELETED')).toBeUndefined()
  })
  test('fails where it is deleted meanwhile', async () => {
    const gone = new Failure('InstanceNotFound', { id: ids.web })
    await expect(wait(answers<Instance>(building, gone))).rejects.toMatchObject({
      text: 'web was deleted in the meantime.',
    })
  })
  test('gives up after its time and says in which state it is', async () => {
    await expect(wait(answers<Instance>(webInstance), 'PAUSED', 50)).rejects.toMatchObject({
      text: 'web is ACTIVE after 0.05 s, not PAUSED.',
      exitCode: 1,
    })
  })
})
