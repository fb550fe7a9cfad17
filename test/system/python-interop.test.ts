import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Code, Failure, failures, RemoteError } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import type { Context } from '../../src/core/model/context.ts'
import { type Bus, served } from '../../src/core/rpc/bus.ts'
import type { QueueKind } from '../../src/core/rpc/topology.ts'
import { context, join, later, plain, refusal, Secret, Toys, toys } from '../core/rpc/kit.ts'
import { type Backend, backends, type Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'
import { cloudWithPort, osloUrl, PythonPeer, python } from '../kit/python.ts'

/**
 * Python's oslo.messaging and Nova, unmodified, on the bus of a running cloud: what its programs ask of our daemons and
 * what ours ask of them. `python/client.py` and `python/server.py` are the peers.
 */
const interpreter = await python()

/** With the flags that oslo.messaging has by default, and with those that RabbitMQ 4 takes. */
const settings = async (): Promise<Array<[Backend, QueueKind]>> =>
  (await backends()).flatMap(
    (backend): Array<[Backend, QueueKind]> =>
      backend === 'embedded'
        ? [[backend, 'transient']]
        : [
            [backend, 'durable'],
            [backend, 'quorum'],
          ],
  )

/** The context as Nova's RequestContext has it. */
const inPython = (ctx: Context) => ({
  user_id: ctx.userId,
  project_id: ctx.projectId,
  roles: ctx.roles,
  is_admin: ctx.isAdmin,
  request_id: ctx.requestId,
  auth_token: 'secret-token',
})
const asked = {
  ...{ action: 'call', timeout: 20, version: '2.0' },
  context: inPython(context({ projectId: 'default', isAdmin: true })),
}
const to = {
  conductor: { ...asked, topic: 'conductor', server: undefined },
  toys: { ...asked, topic: 'toys', server: 'ours', version: '1.0' },
}
/** What it catches where oslo.messaging does not rebuild the class. */
const remote = (name: string) => ({ raised: expect.objectContaining({ class: 'RemoteError', remote: name }) })
/** What a Python program catches: a class of nova.exception with a message. */
const raised = (name: string, text: unknown) => ({
  raised: expect.objectContaining({
    class: `${name}_Remote`,
    bases: expect.arrayContaining([`nova.exception.${name}`]),
    args: [text],
  }),
})

if (interpreter) {
  describe.each(await settings())('with Python on one bus (%s, queues: %s)', (backend, queues) => {
    let cloud: Cloud
    let url: string
    let bus: Bus
    let client: PythonPeer
    let server: PythonPeer
    beforeAll(async () => {
      ;({ cloud, url } = await cloudWithPort(backend, {
        NOVA_QUOTA_INSTANCES: '3',
        NOVA_LOG_LEVEL: 'debug',
        NOVA_BUS_QUEUES: queues,
      }))
      bus = await join(url, { queues })
      const theirs = osloUrl(url, queues)
      ;[client, server] = await Promise.all([
        PythonPeer.start(interpreter, 'client.py', theirs),
        PythonPeer.start(interpreter, 'server.py', theirs, 'toys', 'python'),
      ])
    }, 120_000)
    afterAll(async () => {
      await Promise.all([client?.stop(), server?.stop()])
      await bus?.close()
      await cloud?.close()
    }, 60_000)

    const call = (method: string, args: object = {}) => client.ask({ ...to.conductor, method, args })

    describe('a Python client and our daemons', () => {
      test('calls the conductor, the scheduler and a host', async () => {
        expect(await call('ping')).toEqual({ result: { version: expect.any(String), now: expect.any(Number) } })
        const pinged = await client.ask({ ...asked, topic: 'scheduler', method: 'ping' })
        expect(pinged).toEqual({ result: { version: expect.any(String) } })
        const host = await client.ask({ ...asked, topic: 'compute', server: 'host', method: 'ping' })
        expect(host).toMatchObject({ result: { host: 'host' } })
      })

      test('boots an instance, finds it in the list and pauses it', async () => {
        const { result } = await call('boot', { name: 'snake' })
        expect(result).toMatchObject({ begun: [{ instance: { name: 'snake' } }] })
        const status = async () => (await call('instanceList')).result
        const active = { instances: [expect.objectContaining({ name: 'snake', status: 'ACTIVE' })] }
        await persist(async () => expect(await status()).toEqual(active))
        expect(await call('begin', { instance: 'snake', kind: 'pause' })).toMatchObject({
          result: { instance: { name: 'snake' } },
        })
      })

      test('uploads an image; to read it as hosts do is for those who say who they are', async () => {
        const data = Buffer.from('a kernel from Python')
        const file = { sizeBytes: data.length, sha256: createHash('sha256').update(data).digest('hex') }
        const { result } = await call('imageCreate', { name: 'parcel', files: { kernel: file } })
        const { id } = (result as { image: { id: string } }).image
        const piece = { image: id, part: 'kernel', offset: 0 }
        expect(await call('imageWrite', { ...piece, data: data.toString('base64') })).toMatchObject({
          result: { status: 'active' },
        })
        const request = { ...to.conductor, topic: 'compute_agent', method: 'imageRead' }
        const part = await client.ask({ ...request, args: { ...piece, offset: 2, length: 6 } })
        // oslo.messaging sets no user_id.
        expect(part).toMatchObject({
          raised: { class: 'Forbidden_Remote', text: expect.stringContaining('without a name') },
        })
      })

      test('casts to the scheduler and to a host, and to all hosts', async () => {
        const operation = systemIds.uuid()
        for (const request of [
          { topic: 'scheduler', method: 'place' },
          { topic: 'compute', server: 'host', method: 'run' },
          { topic: 'compute', action: 'fanout', method: 'run' },
        ]) {
          const ctx = context()
          const cast = { action: 'cast', ...request, args: { operation }, context: inPython(ctx) }
          expect(await client.ask(cast)).toEqual({ result: null })
          await persist(async () => expect(cloud.log()).toContain(ctx.requestId))
        }
      })

      test('gets what is refused as the exceptions of Nova that mean it', async () => {
        const nobody = { instance: 'nobody' }
        expect(await call('instanceShow', nobody)).toEqual(raised('InstanceNotFound', 'No instance "nobody".'))
        expect(await call('begin', { instance: 'snake', kind: 'start' })).toEqual(
          raised('InstanceInvalidState', expect.stringMatching(/^Cannot start snake/)),
        )
        expect(await call('boot', { name: 'many', count: 4 })).toEqual(
          raised('TooManyInstances', expect.stringMatching(/^Quota of project default exceeded/)),
        )
        expect(await call('boot', { name: 'x', image: 'none' })).toEqual(raised('ImageNotFound', 'No image "none".'))
        expect(await call('boot', { name: 'x', flavor: 'none' })).toEqual(raised('FlavorNotFound', 'No flavor "none".'))
        expect(await call('hostShow', { host: 'none' })).toEqual(raised('ComputeHostNotFound', 'No host "none".'))
        expect(await call('operationShow', { operation: 'none' })).toEqual(raised('Invalid', expect.any(String)))
      })

      test('is told of methods, versions and namespaces that a daemon does not know', async () => {
        expect(await call('levitate')).toEqual(remote('NoSuchMethod'))
        const ping = { ...to.conductor, method: 'ping' }
        expect(await client.ask({ ...ping, version: '2.99' })).toEqual(remote('UnsupportedVersion'))
        expect(await client.ask({ ...ping, version: '3.0' })).toEqual(remote('UnsupportedVersion'))
        expect(await client.ask({ ...ping, namespace: 'nowhere' })).toEqual(remote('NoSuchMethod'))
      })

      test('waits out its time for a host that nobody is', async () => {
        const request = { ...asked, topic: 'compute', server: 'nobody', method: 'ping', timeout: 1 }
        expect(await client.ask(request)).toEqual({ raised: expect.objectContaining({ class: 'MessagingTimeout' }) })
      })
    })

    describe('a Python client and a server through connectBus', () => {
      let next = later<{ ctx: Context; what: string }>()
      let thrown: unknown
      let stop: () => Promise<void>
      beforeAll(async () => {
        const api = toys({
          break: async () => Promise.reject(thrown),
          drop: async (ctx, { what }) => next.resolve({ ctx, what }),
        })
        const secret = served(Secret, { whisper: async () => 'hush' })
        ;({ stop } = await bus.serve([served(Toys, api), secret], { server: 'ours', slots: 8, shared: false }))
      })
      afterAll(() => stop?.())
      const ask = (method: string, args: object = {}, more: object = {}) =>
        client.ask({ ...to.toys, method, args, ...more })

      test('gets results of every kind', async () => {
        expect(await ask('add', { a: 1, b: 2 })).toEqual({ result: { sum: 3 } })
        expect(await ask('paint', { colour: 'red' })).toEqual({ result: 'red' })
        expect(await ask('nothing')).toEqual({ result: null })
        expect(await ask('whisper', {}, { namespace: 'secret', version: '2.0' })).toEqual({ result: 'hush' })
        expect(await ask('oslo_rpc_server_ping')).toEqual({ result: 'pong' })
        expect(await ask('add', { a: 'one', b: 2 })).toEqual(raised('Invalid', expect.stringContaining('add: a: ')))
      })

      test.each(['cast', 'fanout'])('sends a %s, with who asks', async (action) => {
        next = later()
        const ctx = context({ userId: 'ann', roles: ['member', 'reader'] })
        const request = { action, ...(action === 'fanout' ? { server: undefined } : {}), context: inPython(ctx) }
        expect(await ask('drop', { what: 'Grüße' }, request)).toEqual({ result: null })
        expect(await next.promise).toEqual({ ctx, what: 'Grüße' })
      })

      test('gets each failure as the class that the table names, RemoteError where that is not of nova.exception', async () => {
        const params = {
          ...{ id: 'x', name: 'n', what: 'w', why: 'y', url: 'u', reason: 'r', kind: 'instance', ids: ['1', '2'] },
          ...{ state: 'PAUSED', verb: 'stop', allowed: ['ACTIVE'] },
        }
        const foreign = ['UnsupportedVersion', 'NoSuchMethod', 'MessagingTimeout', 'MessageDeliveryFailure']
        for (const code of Object.keys(failures) as Code[]) {
          const failure = new Failure(code, params as never)
          thrown = failure
          const { python: name, http } = failures[code]
          const answer = await ask('break', { how: code })
          if (foreign.includes(name)) expect(answer).toEqual(remote(name))
          else {
            expect(answer).toEqual(raised(name, failure.message))
            expect(answer).toMatchObject({ raised: { kwargs: { code: http } } })
          }
        }
        thrown = new TypeError('a bug')
        expect(await ask('break', { how: '' })).toEqual(remote('TypeError'))
      })

      test('sees us at work during a slow call, and misses us where nobody is', async () => {
        // With a monitor the client gives up after one second without a sign of life.
        expect(await ask('slow', { ms: 2500 }, { monitor: 1 })).toEqual({ result: 'done' })
        const mute = await plain(url)
        try {
          await mute.channel.assertQueue('toys.mute', { exclusive: true })
          await mute.channel.bindQueue('toys.mute', 'nova', 'toys.mute')
          const began = performance.now()
          const answer = await ask('slow', { ms: 1 }, { server: 'mute', monitor: 1 })
          expect(answer).toEqual({ raised: expect.objectContaining({ class: 'MessagingTimeout' }) })
          expect(performance.now() - began).toBeLessThan(15_000)
        } finally {
          await mute.close()
        }
      })
    })

    describe('our client and a Python server', () => {
      const ctx = context({ userId: 'ann', projectId: 'demo', roles: ['member'] })
      const theirs = () => bus.client(Toys, { server: 'python' })

      test('gets results, and bears with the signs of life before them', async () => {
        expect(await theirs().add(ctx, { a: 1, b: 2 })).toEqual({ sum: 3 })
        expect(await theirs().nothing(ctx, {})).toBeUndefined()
        expect(await bus.client(Secret, { server: 'python' }).whisper(ctx, {})).toBe('hush')
        // The server beats twice a second during every call.
        expect(await theirs().slow(ctx, { ms: 1500 })).toBe('done')
        expect(await bus.client(Toys).paint(ctx, { colour: 'green' })).toBe('green in Python')
      })

      test('sends casts, with who asks and without a token', async () => {
        const who = {
          user: 'ann',
          project: 'demo',
          request: ctx.requestId,
          roles: ['member'],
          admin: false,
          token: null,
        }
        await theirs().drop(ctx, { what: 'to one: ü' })
        expect(await server.heard('to one: ü')).toEqual({ heard: 'to one: ü', ...who })
      })

      const breaks = (name: string, kwargs: object, ...args: string[]) =>
        refusal(theirs().break(ctx, { how: JSON.stringify({ class: name, kwargs, args }) }))

      test.each([
        ['InstanceNotFound', { instance_id: 'u1' }, { code: 'InstanceNotFound', params: { id: 'u1' } }],
        ['FlavorNotFound', { flavor_id: 'f' }, { code: 'FlavorNotFound', params: { id: 'f' } }],
        ['ImageNotFound', { image_id: 'i' }, { code: 'ImageNotFound', params: { id: 'i' } }],
        ['ComputeHostNotFound', { host: 'h' }, { code: 'HostNotFound', params: { id: 'h' } }],
        ['ServiceNotFound', { service_id: 's' }, { code: 'ServiceNotFound', params: { id: 's' } }],
        ['FlavorExists', { name: 'tiny' }, { code: 'FlavorExists', params: { name: 'tiny' } }],
        ['NoValidHost', { reason: 'full' }, { code: 'NoValidHost', params: { reason: 'full' } }],
        ['Forbidden', {}, { code: 'Forbidden', message: 'Forbidden' }],
        [
          'InstanceInvalidState',
          { attr: 'vm_state', instance_uuid: 'u1', state: 'paused', method: 'stop' },
          { code: 'InstanceInvalidState', message: 'Cannot stop u1: it is paused.' },
        ],
        [
          'TooManyInstances',
          { overs: 'instances', req: 1, used: 10, allowed: 10 },
          { code: 'QuotaExceeded', params: { resource: 'instances', limit: 10, used: 10, wanted: 1 } },
        ],
      ])('gets %s as our failure', async (name, kwargs, expected) => {
        const e = await breaks(name, kwargs)
        expect(e).toBeInstanceOf(Failure)
        expect(e).toMatchObject(expected)
      })

      test('gets RemoteError for the rest, with what Python said', async () => {
        const whole = { requestId: ctx.requestId, remoteStack: expect.stringContaining('Traceback') }
        const e = await breaks('ValueError', {}, 'bad value')
        expect(e).toBeInstanceOf(RemoteError)
        expect(e).toMatchObject({ remoteClass: 'ValueError', remoteMessage: 'bad value', ...whole })
        expect(await breaks('CannotResizeDisk', { reason: 'why' })).toMatchObject({ remoteClass: 'CannotResizeDisk' })
        const later = { nothing: { ...Toys.methods.nothing, since: '1.4' } }
        const Newer = { ...Toys, version: '1.4', methods: { ...Toys.methods, ...later } }
        expect(await refusal(bus.client(Newer, { server: 'python' }).nothing(ctx, {}))).toMatchObject({
          remoteClass: 'UnsupportedVersion',
        })
        expect(await refusal(theirs().maybe(ctx, {}))).toMatchObject({ remoteClass: 'NoSuchMethod' })
      })

      test('knows at once that nobody is there', async () => {
        const nobody = bus.client(Toys, { server: 'nobody' })
        expect(await refusal(nobody.add(ctx, { a: 1, b: 2 }))).toMatchObject({ code: 'HostUnreachable' })
        expect(await refusal(nobody.drop(ctx, { what: '' }))).toMatchObject({ code: 'HostUnreachable' })
      })
    })

    test('a Python server and one of ours share the calls of a topic, and both hear what goes to all', async () => {
      const other = await join(url, { queues })
      const next = later<string>()
      const api = toys({ paint: async () => 'in TypeScript', drop: async (_ctx, { what }) => next.resolve(what) })
      const serving = other.serve([served(Toys, api)], { server: 'shared', slots: 8 })
      if (queues === 'durable') {
        // oslo.messaging declares no queue that goes with its consumers, unless the exchange does as well.
        expect(await refusal(serving)).toMatchObject({ code: 'BusConflict' })
        return other.close()
      }
      const { stop } = await serving
      try {
        const painted = new Set<unknown>()
        for (let i = 0; i < 4; i++) {
          painted.add(
            (await client.ask({ ...to.toys, server: undefined, method: 'paint', args: { colour: 'red' } })).result,
          )
        }
        expect(painted).toEqual(new Set(['red in Python', 'in TypeScript']))
        const cast = { action: 'fanout', context: inPython(context()), args: { what: 'everybody' } }
        expect(await client.ask({ ...to.toys, server: undefined, method: 'drop', ...cast })).toEqual({ result: null })
        expect(await server.heard('everybody')).toMatchObject({ heard: 'everybody' })
        expect(await next.promise).toBe('everybody')
      } finally {
        await stop()
        await other.close()
      }
    })
  })
} else
  test('Python is not asked without oslo.messaging', () =>
    expect(process.env.NOVA_REQUIRE ?? '').not.toContain('python'))
