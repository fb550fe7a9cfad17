import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Instance } from '../../src/core/contracts/shapes.ts'
import { plain } from '../core/rpc/kit.ts'
import { type Backend, backends, type Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'
import { cloudWithPort, osloUrl, PythonPeer, python } from '../kit/python.ts'

/** A listener of oslo.messaging, unmodified, hears of a running cloud what it would hear of Nova. */
const interpreter = await python()

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
const plainTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)

if (interpreter) {
  describe.each(await backends())('a Python notification listener (%s)', (backend: Backend) => {
    let cloud: Cloud
    let url: string
    let listener: PythonPeer
    beforeAll(async () => {
      // With the flags that oslo.messaging has by default, and with those that RabbitMQ 4 takes.
      const queues = backend === 'embedded' ? 'transient' : 'durable'
      ;({ cloud, url } = await cloudWithPort(backend, {
        NOVA_FAKE_MEMORY_MB: '4096',
        NOVA_NOTIFICATIONS_FORMAT: 'both',
        NOVA_BUS_QUEUES: queues,
      }))
      listener = await PythonPeer.start(interpreter, 'listener.py', osloUrl(url, queues))
    }, 120_000)
    afterAll(async () => {
      await listener?.stop()
      await cloud?.close()
    }, 60_000)

    /** What it hears of an event in both formats. */
    const both = async (type: string, about: string) => ({
      plain: await listener.heard(`notifications compute.${type} ${about}`),
      versioned: await listener.heard(`versioned_notifications ${type} ${about}`),
    })
    const nova = async (...args: string[]) => expect(await cloud.nova(...args)).toMatchObject({ code: 0 })
    const shown = (name: string) => cloud.json<Instance>('show', name)

    test('hears of a boot, from the building instance to the running one', async () => {
      await nova('boot', 'web', '--wait')
      const { id } = await shown('web')
      const start = await both('instance.create.start', id)
      expect(start.plain).toMatchObject({
        priority: 'info',
        publisher: expect.stringMatching(/^conductor\./),
        payload: { state: 'building', state_description: 'spawning', host: null, launched_at: '', image_name: 'tiny' },
        metadata: {
          message_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
          timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/),
        },
      })
      expect(start.versioned).toMatchObject({
        publisher: expect.stringMatching(/^nova-conductor:/),
        kind: 'InstanceCreatePayload',
        problems: [],
        payload: { state: 'building', task_state: 'spawning', power_state: 'pending', host: null, launched_at: null },
      })
      const end = await both('instance.create.end', id)
      expect(end.plain).toMatchObject({
        priority: 'info',
        publisher: 'compute.host',
        payload: {
          instance_id: id,
          tenant_id: 'default',
          display_name: 'web',
          instance_type: 'm1.nano',
          state: 'active',
          state_description: '',
          host: 'host',
          message: 'Success',
          created_at: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$/),
          launched_at: plainTime,
          deleted_at: '',
        },
      })
      expect(end.versioned).toMatchObject({
        publisher: 'nova-compute:host',
        kind: 'InstanceCreatePayload',
        problems: [],
        payload: {
          uuid: id,
          display_name: 'web',
          host: 'host',
          state: 'active',
          power_state: 'running',
          task_state: null,
          launched_at: time,
          flavor: { name: 'm1.nano', vcpus: 1 },
          fault: null,
        },
      })
      // The one who asked, and not one token.
      const { context } = end.versioned as { context: Record<string, unknown> }
      expect(context).toMatchObject({ project_id: 'default', request_id: expect.stringMatching(/^req-/) })
      expect(Object.keys(context).filter((key) => /token|password|catalog/.test(key))).toEqual([])
    })

    test('hears of verbs, of a new name and of the end', async () => {
      await nova('boot', 'db', '--wait')
      const { id } = await shown('db')
      await nova('pause', 'db', '--wait')
      const paused = { start: await both('instance.pause.start', id), end: await both('instance.pause.end', id) }
      expect(paused.start.versioned).toMatchObject({
        kind: 'InstanceActionPayload',
        problems: [],
        publisher: 'nova-compute:host',
        payload: { state: 'active', task_state: 'pausing', power_state: 'running' },
      })
      expect(paused.start.plain).toMatchObject({ payload: { state: 'active', state_description: 'pausing' } })
      expect(paused.end.versioned).toMatchObject({
        payload: { state: 'paused', task_state: null, power_state: 'paused' },
      })

      await nova('unpause', 'db', '--wait')
      await nova('stop', 'db', '--wait')
      expect((await both('instance.power_off.end', id)).versioned).toMatchObject({ payload: { state: 'stopped' } })
      await nova('reboot', '--hard', 'db', '--wait')
      expect((await both('instance.reboot.start', id)).versioned).toMatchObject({
        problems: [],
        payload: { task_state: 'rebooting_hard' },
      })

      await nova('rename', 'db', 'store')
      const renamed = await both('instance.update', id)
      expect(renamed.plain).toMatchObject({
        payload: { display_name: 'store', old_display_name: 'db', state: 'active', old_state: 'active' },
      })
      expect(renamed.versioned).toMatchObject({
        kind: 'InstanceUpdatePayload',
        problems: [],
        payload: {
          display_name: 'store',
          old_display_name: 'db',
          state_update: { old_state: 'active', state: 'active' },
        },
      })

      await nova('delete', 'store', '--wait')
      expect((await both('instance.delete.start', id)).versioned).toMatchObject({ payload: { task_state: 'deleting' } })
      const gone = await both('instance.delete.end', id)
      expect(gone.plain).toMatchObject({
        publisher: 'compute.host',
        payload: { state: 'deleted', deleted_at: plainTime },
      })
      expect(gone.versioned).toMatchObject({
        problems: [],
        payload: { state: 'deleted', deleted_at: time, power_state: 'pending' },
      })
    })

    test('hears why a boot failed', async () => {
      await nova('flavor', 'create', 'huge', '--vcpus', '1', '--memory', '64G')
      expect((await cloud.nova('boot', 'titan', '--flavor', 'huge', '--wait')).code).not.toBe(0)
      const { id } = await shown('titan')
      const { plain, versioned } = await both('instance.create.error', id)
      expect(plain).toMatchObject({
        priority: 'error',
        publisher: expect.stringMatching(/^scheduler\./),
        payload: { state: 'error', exception: 'NoValidHost', message: expect.stringContaining('too little memory') },
      })
      expect(versioned).toMatchObject({
        priority: 'error',
        problems: [],
        payload: {
          state: 'error',
          fault: { exception: 'NoValidHost', exception_message: expect.stringContaining('too little memory') },
        },
      })
    })

    test('hears of flavors and services', async () => {
      await nova('flavor', 'create', 'odd', '--vcpus', '3', '--memory', '1G')
      expect(await listener.heard('versioned_notifications flavor.create odd')).toMatchObject({
        kind: 'FlavorPayload',
        problems: [],
        payload: { vcpus: 3 },
      })
      await nova('flavor', 'delete', 'odd')
      expect(await listener.heard('versioned_notifications flavor.delete odd')).toMatchObject({ problems: [] })
      await nova('service', 'disable', 'host', '--reason', 'new disks')
      expect(await listener.heard('versioned_notifications service.update host')).toMatchObject({
        kind: 'ServiceStatusPayload',
        publisher: 'nova-compute:host',
        problems: [],
        payload: { binary: 'nova-compute', disabled: true, disabled_reason: 'new disks' },
      })
      await nova('service', 'enable', 'host')
    })

    test('nothing lies in a queue for ever where its listener has gone', async () => {
      await nova('boot', 'late', '--wait')
      const { id } = await shown('late')
      await both('instance.create.end', id)
      const { channel, close } = await plain(url)
      try {
        const { queue } = await channel.assertQueue('', { exclusive: true })
        await channel.bindQueue(queue, 'nova', 'versioned_notifications.info')
        await nova('delete', 'late', '--wait')
        const message = await persist(async () => {
          const got = await channel.get(queue, { noAck: true })
          if (!got) throw new Error('nothing has come')
          return got
        })
        expect(message.properties.expiration).toBe('3600000')
      } finally {
        await close()
      }
    })
  })
} else
  test('Python is not asked without oslo.messaging', () =>
    expect(process.env.NOVA_REQUIRE ?? '').not.toContain('python'))
