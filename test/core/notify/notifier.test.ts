import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import type { Instance, Published } from '../../../src/core/contracts/shapes.ts'
import type { Format } from '../../../src/core/notify/messages.ts'
import { openNotifier } from '../../../src/core/notify/notifier.ts'
import { table } from '../../../src/core/notify/table.ts'
import type { Notification } from '../../../src/core/rpc/notifications.ts'

const now = Date.UTC(2026, 10, 22, 9, 17, 21, 649)

const instance = (id: string): Instance => ({
  id,
  name: 'web',
  status: 'ACTIVE',
  power: 'RUNNING',
  host: 'h1',
  flavor: 'm1.tiny',
  image: 'tiny',
  projectId: 'p1',
  createdAt: now - 5000,
  size: { vcpus: 1, memoryMb: 512, diskGb: 1 },
  imageId: systemIds.uuid(),
  userId: 'ann',
  metadata: { role: 'front' },
  hints: {},
  hasUserData: false,
  generation: 0,
  updatedAt: now + 60_000,
  launchedAt: now + 60_000,
})

const event = (type: string, instanceId: string, more: Partial<Published> = {}): Published => ({
  id: 1,
  at: now,
  type,
  instanceId,
  instanceName: 'web',
  requestId: 'req-1',
  projectId: 'p1',
  userId: 'bob',
  ...more,
})

/** A notifier over instances that are asked for; `down` while the database does not answer. */
function rig(formats: readonly Format[] = ['unversioned', 'versioned']) {
  const told: Notification[] = []
  const asked: string[][] = []
  const state = { down: false, unknown: new Set<string>() }
  const waits: Array<() => void> = []
  const after = (_ms: number, fn: () => void) => {
    waits.push(fn)
    return () => undefined
  }
  const notifier = openNotifier({
    clock: { ...systemClock, after },
    log: silentLog,
    publisher: { binary: 'conductor', host: 'control' },
    formats,
    async instances(ids) {
      if (state.down) throw new Error('no database')
      asked.push([...ids])
      return new Map(ids.filter((id) => !state.unknown.has(id)).map((id) => [id, instance(id)]))
    },
    notify: (notification) => void told.push(notification),
  })
  /** Lets time pass until the notifier has done what it meant to. */
  const pass = async () => {
    for (const fn of waits.splice(0)) fn()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { notifier, told, asked, state, pass }
}

test('one question serves the events of many instances, and each is told in both formats, in order', async () => {
  const { notifier, told, asked, pass } = rig()
  const ids = Array.from({ length: 20 }, () => systemIds.uuid())
  for (const id of ids) {
    notifier.receive(event('instance.pause.start', id, { host: 'h1' }))
    notifier.receive(event('instance.pause.end', id, { host: 'h1', status: 'PAUSED' }))
  }
  expect(told).toEqual([])
  await pass()
  expect(asked).toEqual([ids])
  expect(told).toHaveLength(80)
  expect(told.slice(0, 4).map(({ topic, eventType, publisher }) => [topic, eventType, publisher])).toEqual([
    ['notifications', 'compute.instance.pause.start', 'compute.h1'],
    ['versioned_notifications', 'instance.pause.start', 'nova-compute:h1'],
    ['notifications', 'compute.instance.pause.end', 'compute.h1'],
    ['versioned_notifications', 'instance.pause.end', 'nova-compute:h1'],
  ])
  expect(told[0]?.context).toMatchObject({ userId: 'bob', projectId: 'p1', requestId: 'req-1' })
})

test('an event says what was so at its time, not what the row has become since', async () => {
  const { notifier, told, pass } = rig(['versioned'])
  const operation = { kind: 'boot', state: 'queued', attempt: 0 } as const
  notifier.receive(event('instance.create.start', systemIds.uuid(), { status: 'BUILD', operation }))
  await pass()
  expect(told[0]).toMatchObject({
    publisher: 'nova-conductor:control',
    payload: {
      'nova_object.data': {
        state: 'building',
        power_state: 'pending',
        task_state: 'spawning',
        host: null,
        launched_at: null,
        updated_at: '2026-11-22T09:17:21Z',
      },
    },
  })
})

test('what listeners of Nova do not know is not told, and asks nothing of the database', async () => {
  const { notifier, told, asked, pass } = rig()
  for (const type of ['operation.step', 'instance.create.retry', 'host.up'])
    notifier.receive(event(type, systemIds.uuid()))
  await pass()
  const off = rig([])
  off.notifier.receive(event('instance.pause.end', systemIds.uuid()))
  await off.pass()
  expect([told, asked, off.told, off.asked]).toEqual([[], [], [], []])
})

test('an instance of which nothing is known is passed over; the others are told', async () => {
  const { notifier, told, state, pass } = rig(['versioned'])
  const [gone, there] = [systemIds.uuid(), systemIds.uuid()]
  state.unknown.add(gone)
  notifier.receive(event('instance.create.error', gone))
  notifier.receive(event('instance.pause.end', there))
  await pass()
  expect(told.map(({ eventType }) => eventType)).toEqual(['instance.pause.end'])
})

test('events wait for a database that does not answer, the newest 10,000 of them', async () => {
  const { notifier, told, state, pass } = rig(['unversioned'])
  const id = systemIds.uuid()
  state.down = true
  for (let i = 0; i < 10_050; i++) notifier.receive(event('instance.pause.end', id, { at: now + i }))
  await pass()
  expect(told).toEqual([])
  state.down = false
  await pass()
  await notifier.close()
  expect(told).toHaveLength(10_000)
  expect(told[0]?.at).toBe(now + 50)
})

test('what waits is sent before the end', async () => {
  const { notifier, told } = rig(['unversioned'])
  notifier.receive(event('instance.delete.end', systemIds.uuid()))
  await notifier.close()
  expect(told).toHaveLength(1)
})

test('the page of notifications names every event', () => {
  const page = readFileSync(resolve(import.meta.dirname, '../../../docs/notifications.md'), 'utf8')
  const words = [...table.values()].map(({ versioned }) => versioned.replace(/\.(start|end|error)$/, ''))
  expect([...new Set(words)].filter((word) => !page.includes(`\`${word}`))).toEqual([])
})
