import { beforeEach, describe, expect, test } from 'vitest'
import type { InstanceSummary, Published } from '../../src/core/contracts/shapes.ts'
import { applyEvent, type CloudModel, emptyWorld, takeAsked, takeSnapshot } from '../../src/tui/model.ts'

const web: InstanceSummary = {
  id: 'web-id',
  name: 'web',
  status: 'ACTIVE',
  power: 'RUNNING',
  host: 'host1',
  flavor: 'm1.nano',
  image: 'tiny',
  projectId: 'default',
  createdAt: 1_000,
}
const status = { version: '1', database: { dialect: 'sqlite', version: '3', migration: '7' } }
const event = (of: Partial<Published>): Published => ({
  id: 10,
  at: 2_000,
  type: 'instance.pause.start',
  instanceId: 'web-id',
  instanceName: 'web',
  operationId: 'op',
  requestId: 'req-1',
  projectId: 'default',
  ...of,
})
const reported = (
  state: 'queued' | 'running' | 'succeeded' | 'failed',
  kind: 'pause' | 'boot' | 'delete' = 'pause',
) => ({
  operation: { kind, state, attempt: 1 },
})

describe('what is known of the cloud', () => {
  let world: CloudModel
  beforeEach(() => {
    world = emptyWorld()
    takeSnapshot(world, {
      instances: [web],
      operations: [],
      events: [],
      hosts: [],
      services: [],
      daemons: {},
      status,
      failed: 0,
    })
  })

  test('an operation that begins gives its instance a task, and one that ends takes it away', () => {
    applyEvent(world, event(reported('queued')))
    expect(world.instances.get('web-id')).toMatchObject({ status: 'ACTIVE', task: 'pausing' })
    expect(world.operations.get('op')).toMatchObject({ state: 'queued', subject: { kind: 'instance', name: 'web' } })
    applyEvent(world, event({ id: 11, type: 'instance.pause.end', status: 'PAUSED', ...reported('succeeded') }))
    expect(world.instances.get('web-id')?.status).toBe('PAUSED')
    expect(world.instances.get('web-id')?.task).toBeUndefined()
    expect(world.operations.get('op')).toMatchObject({ state: 'succeeded', finishedAt: 2_000 })
  })
  test('what is told late of an operation that is over changes nothing', () => {
    applyEvent(world, event({ type: 'instance.pause.end', status: 'PAUSED', ...reported('succeeded') }))
    applyEvent(world, event({ id: 0, type: 'operation.step', ...reported('running') }))
    expect(world.operations.get('op')?.state).toBe('succeeded')
    expect(world.instances.get('web-id')?.status).toBe('PAUSED')
  })
  test('a new instance shows at once, on top, and is asked for with all others of which only events have told', () => {
    const born = { instanceId: 'new-id', instanceName: 'new', type: 'instance.create.start', status: 'BUILD' as const }
    applyEvent(world, event({ ...born, ...reported('queued', 'boot') }))
    expect(world.order).toEqual(['new-id', 'web-id'])
    expect(world.instances.get('new-id')).toMatchObject({ name: 'new', status: 'BUILD', task: 'spawning', flavor: '' })
    expect([...world.hearsay]).toEqual(['new-id'])
    takeAsked(world, ['new-id'], [{ ...web, id: 'new-id', name: 'new', flavor: 'm1.tiny' }])
    expect(world.instances.get('new-id')?.flavor).toBe('m1.tiny')
    expect(world.hearsay.size).toBe(0)
  })
  test('an instance that was asked for and is not there is no more', () => {
    applyEvent(world, event({ instanceId: 'x', ...reported('queued', 'boot') }))
    takeAsked(world, ['x'], [])
    expect(world.order).toEqual(['web-id'])
  })
  test('a deleted instance goes, and what is told of it late does not bring it back', () => {
    applyEvent(world, event({ type: 'instance.delete.end', ...reported('succeeded', 'delete') }))
    expect(world.order).toEqual([])
    applyEvent(world, event({ id: 0, type: 'operation.step', ...reported('running', 'delete') }))
    expect(world.instances.size).toBe(0)
  })
  test('a boot that was taken back takes its instance and its operation with it', () => {
    applyEvent(world, event({ instanceId: 'x', type: 'instance.create.start', ...reported('queued', 'boot') }))
    applyEvent(world, event({ id: 11, instanceId: 'x', type: 'instance.create.error' }))
    expect(world.instances.has('x')).toBe(false)
    expect(world.operations.has('op')).toBe(false)
  })
  test('a failure is counted once, however often it is told', () => {
    for (const id of [11, 11]) applyEvent(world, event({ id, type: 'instance.pause.error', ...reported('failed') }))
    expect(world.failed).toBe(1)
    expect(world.events.size).toBe(1)
  })
  test('a new name shows', () => {
    applyEvent(world, { ...event({ type: 'instance.rename', instanceName: 'www' }), operationId: undefined })
    expect(world.instances.get('web-id')?.name).toBe('www')
  })
  const progress = (doneBytes: number) => ({ what: 'disk', doneBytes, totalBytes: 100 })
  const migrating = { kind: 'migrate' as const, state: 'running' as const, attempt: 1 }
  const step = (name: string, more: object = {}) =>
    event({ id: 0, type: 'operation.step', host: 'host2', operation: { ...migrating, step: name, ...more } })
  const far = (doneBytes: number) =>
    event({
      id: 0,
      type: 'operation.progress',
      host: 'host1',
      operation: { ...migrating, progress: progress(doneBytes) },
    })

  test('progress is that of its step, and changes neither step nor host', () => {
    applyEvent(world, step('receive'))
    applyEvent(world, far(42))
    expect(world.operations.get('op')).toMatchObject({ step: 'receive', host: 'host2', progress: progress(42) })
    applyEvent(world, step('start'))
    expect(world.operations.get('op')?.progress).toBeUndefined()
  })
  test('an operation that undoes its steps says so until it ends or begins again', () => {
    applyEvent(world, far(42))
    applyEvent(world, step('stop', { undoing: true }))
    expect(world.operations.get('op')).toMatchObject({ step: 'stop', undoing: true })
    expect(world.operations.get('op')?.progress).toBeUndefined()
    applyEvent(world, step('place', { state: 'queued' }))
    expect(world.operations.get('op')?.undoing).toBeUndefined()
    applyEvent(world, step('prepare', { undoing: true }))
    applyEvent(world, event({ id: 11, type: 'instance.migrate.error', operation: { ...migrating, state: 'failed' } }))
    expect(world.operations.get('op')).toMatchObject({ state: 'failed', finishedAt: 2_000 })
    expect(world.operations.get('op')?.undoing).toBeUndefined()
  })
  test('an instance stays where it is while another host works for it', () => {
    applyEvent(world, step('receive'))
    expect(world.instances.get('web-id')).toMatchObject({ host: 'host1', task: 'migrating' })
    applyEvent(
      world,
      event({ id: 11, type: 'instance.migrate.end', host: 'host2', operation: { ...migrating, state: 'succeeded' } }),
    )
    expect(world.instances.get('web-id')?.host).toBe('host2')
  })
  test('an operation on an image is there as soon as it is heard of', () => {
    const subject = { kind: 'image' as const, id: 'image-id', name: 'tiny' }
    const operation = { kind: 'delete-image' as const, state: 'queued' as const, attempt: 0 }
    applyEvent(world, {
      id: 12,
      at: 2_000,
      type: 'image.delete.start',
      operationId: 'op',
      requestId: 'r',
      projectId: 'p',
      subject,
      operation,
    })
    expect(world.operations.get('op')).toMatchObject({ kind: 'delete-image', subject, createdAt: 2_000 })
    expect([...world.instances.keys()]).toEqual(['web-id'])
  })
  test('what has no end is kept in bounds: memory stays flat', () => {
    for (let i = 1; i <= 10_000; i++)
      applyEvent(world, event({ id: i, operationId: `op-${i}`, ...reported('succeeded') }))
    expect(world.events.size).toBe(1_000)
    expect(world.operations.size).toBeLessThanOrEqual(3_001)
    expect(world.events.has(10_000) && world.operations.has('op-10000')).toBe(true)
  })
})
