import { randomUUID } from 'node:crypto'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/core/config/load.ts'
import { busUrl } from '../../src/core/config/places.ts'
import { agent } from '../../src/core/contracts/agent.ts'
import { parseAddresses } from '../../src/core/rpc/address.ts'
import { admin, backends, Cloud } from '../kit/cloud.ts'

const unknown = '00000000-0000-4000-8000-000000000000'
const sha = 'a'.repeat(64)
const self = { host: 'host', incarnation: 'stolen' }
const host = { service: 'compute', ...self }
const report = {
  driver: 'fake',
  hypervisor: 'fake',
  hypervisorVersion: '1',
  accelerator: 'fake',
  total: { vcpus: 1, memoryMb: 1, diskGb: 1 },
}

type Wrong = {
  what: string
  topic?: string
  namespace?: string
  version?: string
  method?: unknown
  args?: unknown
  says: RegExp
}
const wrong: Wrong[] = [
  { what: 'boot without a name', method: 'boot', args: {}, says: /name/ },
  { what: 'boot with an empty name', method: 'boot', args: { name: '' }, says: /name.*empty/ },
  { what: 'boot with a name of 300 characters', method: 'boot', args: { name: 'x'.repeat(300) }, says: /name.*255/ },
  { what: 'boot with a line break in the name', method: 'boot', args: { name: 'a\nb' }, says: /name.*control/ },
  { what: 'boot with a blank before the name', method: 'boot', args: { name: ' web' }, says: /name.*blank/ },
  { what: 'boot of none', method: 'boot', args: { name: 'w', count: 0 }, says: /count.*at least 1/ },
  { what: 'boot of too many', method: 'boot', args: { name: 'w', count: 1001 }, says: /count.*1000/ },
  { what: 'boot of one and a half', method: 'boot', args: { name: 'w', count: 1.5 }, says: /count/ },
  { what: 'boot with a count in text', method: 'boot', args: { name: 'w', count: '2' }, says: /count/ },
  { what: 'boot with a number as metadata', method: 'boot', args: { name: 'w', metadata: { a: 1 } }, says: /metadata/ },
  {
    what: 'boot with an empty metadata key',
    method: 'boot',
    args: { name: 'w', metadata: { '': 'x' } },
    says: /metadata/,
  },
  {
    what: 'boot with too many metadata items',
    method: 'boot',
    args: { name: 'w', metadata: Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`k${i}`, 'v'])) },
    says: /metadata.*at most 128 items/,
  },
  {
    what: 'boot with too much user data',
    method: 'boot',
    args: { name: 'w', userData: 'x'.repeat(70_000) },
    says: /userData/,
  },
  {
    what: 'boot with an unknown flavor',
    method: 'boot',
    args: { name: 'w', flavor: 'm1.tinny' },
    says: /No flavor "m1.tinny"/,
  },
  { what: 'boot with an unknown image', method: 'boot', args: { name: 'w', image: 'tinny' }, says: /No image "tinny"/ },
  { what: 'boot with a list as hints', method: 'boot', args: { name: 'w', hints: ['x'] }, says: /hints/ },
  { what: 'begin without an instance', method: 'begin', args: { kind: 'pause' }, says: /instance/ },
  { what: 'begin of an unknown kind', method: 'begin', args: { instance: 'web', kind: 'explode' }, says: /kind/ },
  { what: 'begin of a boot', method: 'begin', args: { instance: 'web', kind: 'boot' }, says: /kind/ },
  {
    what: 'begin on an unknown instance',
    method: 'begin',
    args: { instance: 'nobody', kind: 'pause' },
    says: /No instance "nobody"/,
  },
  {
    what: 'a migration to a host name that is none',
    method: 'begin',
    args: { instance: 'web', kind: 'migrate', args: { host: 'a b;c' } },
    says: /host/,
  },
  {
    what: 'a migration to an unknown host',
    method: 'begin',
    args: { instance: 'web', kind: 'migrate', args: { host: 'nowhere' } },
    says: /No host "nowhere"/,
  },
  {
    what: 'a migration to where it is',
    method: 'begin',
    args: { instance: 'web', kind: 'migrate', args: { host: 'host' } },
    says: /on host already/,
  },
  { what: 'begin on an unknown id', method: 'begin', args: { instance: unknown, kind: 'delete' }, says: /No instance/ },
  {
    what: 'begin from a wrong state',
    method: 'begin',
    args: { instance: 'web', kind: 'unpause' },
    says: /it is ACTIVE/,
  },
  { what: 'show of nothing', method: 'instanceShow', args: { instance: '' }, says: /instance.*name or id/ },
  { what: 'show of a number', method: 'instanceShow', args: { instance: 7 }, says: /instance/ },
  { what: 'a list of none', method: 'instanceList', args: { limit: 0 }, says: /limit/ },
  { what: 'a list of far too many', method: 'instanceList', args: { limit: 10_001 }, says: /limit/ },
  { what: 'a list of no ids', method: 'instanceList', args: { ids: [] }, says: /ids/ },
  { what: 'a list of what is no id', method: 'instanceList', args: { ids: ['web'] }, says: /ids/ },
  { what: 'a list by an unknown status', method: 'instanceList', args: { status: 'TIRED' }, says: /status/ },
  { what: 'rename without a name', method: 'instanceRename', args: { instance: 'web' }, says: /name/ },
  { what: 'rename to nothing', method: 'instanceRename', args: { instance: 'web', name: '' }, says: /name/ },
  { what: 'no lines of a console', method: 'consoleLog', args: { instance: 'web', lines: 0 }, says: /lines/ },
  {
    what: 'less than no lines of a console',
    method: 'consoleLog',
    args: { instance: 'web', lines: -5 },
    says: /lines/,
  },
  {
    what: 'a flavor without CPUs',
    method: 'flavorCreate',
    args: { name: 'f', vcpus: 0, memoryMb: 1, diskGb: 1 },
    says: /vcpus/,
  },
  {
    what: 'a flavor with negative memory',
    method: 'flavorCreate',
    args: { name: 'f', vcpus: 1, memoryMb: -1, diskGb: 1 },
    says: /memoryMb/,
  },
  {
    what: 'a flavor without a disk size',
    method: 'flavorCreate',
    args: { name: 'f', vcpus: 1, memoryMb: 1 },
    says: /diskGb/,
  },
  {
    what: 'a flavor that is there',
    method: 'flavorCreate',
    args: { name: 'm1.tiny', vcpus: 1, memoryMb: 1, diskGb: 1 },
    says: /"m1.tiny" already/,
  },
  { what: 'delete of an unknown flavor', method: 'flavorDelete', args: { flavor: 'nope' }, says: /No flavor "nope"/ },
  {
    what: 'an image whose checksum is none',
    method: 'imageCreate',
    args: { name: 'i', files: { disk: { sizeBytes: 1, sha256: 'xyz' } } },
    says: /sha256/,
  },
  {
    what: 'an image of an unknown part',
    method: 'imageCreate',
    args: { name: 'i', files: { moon: { sizeBytes: 1, sha256: sha } } },
    says: /files/,
  },
  {
    what: 'an image of an unknown format',
    method: 'imageCreate',
    args: { name: 'i', diskFormat: 'vhs', files: { disk: { sizeBytes: 1, sha256: sha } } },
    says: /diskFormat/,
  },
  { what: 'an image without files', method: 'imageCreate', args: { name: 'i', files: {} }, says: /disk or a kernel/ },
  {
    what: 'an image that is there',
    method: 'imageCreate',
    args: { name: 'tiny', diskFormat: 'raw', files: { disk: { sizeBytes: 1, sha256: sha } } },
    says: /"tiny" already/,
  },
  {
    what: 'a write before the start of a file',
    method: 'imageWrite',
    args: { image: unknown, part: 'disk', offset: -1, data: '' },
    says: /offset/,
  },
  {
    what: 'a write of what is not base64',
    method: 'imageWrite',
    args: { image: unknown, part: 'disk', offset: 0, data: '%%%' },
    says: /data/,
  },
  {
    what: 'a write to an unknown image',
    method: 'imageWrite',
    args: { image: unknown, part: 'disk', offset: 0, data: 'AAAA' },
    says: /No image/,
  },
  {
    what: 'disabling an unknown host',
    method: 'serviceSet',
    args: { host: 'nowhere', enabled: false },
    says: /nowhere/,
  },
  { what: 'a host name that is none', method: 'hostShow', args: { host: 'a b;c' }, says: /host/ },
  { what: 'a host in no zone', method: 'hostSet', args: { host: 'a', availabilityZone: '' }, says: /availabilityZone/ },
  {
    what: 'a zone for an unknown host',
    method: 'hostSet',
    args: { host: 'nowhere', availabilityZone: 'east' },
    says: /No host "nowhere"/,
  },
  { what: 'a login for a host without a name', method: 'hostAdd', args: {}, says: /host/ },
  { what: 'a login for a host name that is none', method: 'hostAdd', args: { host: '#' }, says: /host/ },
  { what: 'a purge of no queue', method: 'busPurge', args: {}, says: /queue/ },
  { what: 'a purge of an unknown queue', method: 'busPurge', args: { queue: 'moon' }, says: /moon/ },
  { what: 'a purge of answers', method: 'busPurge', args: { queue: 'reply_wrong' }, says: /answers/ },
  { what: 'deletion of an unknown host', method: 'hostDelete', args: { host: 'nowhere' }, says: /No host "nowhere"/ },
  { what: 'an unknown host', method: 'hostShow', args: { host: 'nowhere' }, says: /No host "nowhere"/ },
  { what: 'an operation by a word', method: 'operationShow', args: { operation: 'last' }, says: /operation/ },
  { what: 'an unknown operation', method: 'operationShow', args: { operation: unknown }, says: /No operation/ },
  {
    what: 'cancel of an unknown operation',
    method: 'operationCancel',
    args: { operation: unknown },
    says: /No operation/,
  },
  {
    what: 'retry of an unknown operation',
    method: 'operationRetry',
    args: { operation: unknown },
    says: /No operation/,
  },
  { what: 'no events', method: 'eventList', args: { limit: 0 }, says: /limit/ },
  { what: 'an unknown method', method: 'selfDestruct', args: {}, says: /no method "selfDestruct"/ },
  { what: "a method of the hosts' contract among the faces'", method: 'claim', args: {}, says: /no method/ },
  { what: 'a name that is inherited, not a method', method: 'constructor', args: {}, says: /no method/ },
  { what: 'an unknown namespace', method: 'ping', namespace: 'moon', args: {}, says: /method|namespace/ },
  { what: 'a newer major version', method: 'ping', version: '99.0', args: {}, says: /version 99.0/ },
  { what: 'a newer minor version', method: 'ping', version: '2.999', args: {}, says: /version 2.999/ },
  { what: 'a version that is none', method: 'ping', version: 'new', args: {}, says: /version/ },
  { what: 'arguments that are a list', method: 'ping', args: [1], says: /./ },
  { what: 'arguments that are text', method: 'boot', args: 'web', says: /./ },
  {
    what: 'claim of an unknown operation',
    topic: 'agent',
    method: 'claim',
    args: { ...host, operation: unknown },
    says: /operation/i,
  },
  {
    what: "a step of somebody else's operation",
    topic: 'agent',
    method: 'step',
    args: { ...host, operation: unknown, step: 'start', attempt: 1 },
    says: /operation/i,
  },
  {
    what: 'an unknown power state',
    topic: 'agent',
    method: 'finish',
    args: { ...host, operation: unknown, power: 'GLOWING' },
    says: /power/,
  },
  {
    what: 'a heartbeat with a wrong id',
    topic: 'agent',
    method: 'heartbeat',
    args: { ...host, operations: [{ id: 'x' }] },
    says: /operations/,
  },
  {
    what: 'a heartbeat of an unknown service',
    topic: 'agent',
    method: 'heartbeat',
    args: { ...host, service: 'moon', operations: [] },
    says: /service/,
  },
  {
    what: 'a step at no attempt',
    topic: 'agent',
    method: 'step',
    args: { ...host, operation: unknown, step: 'start', attempt: 0 },
    says: /attempt/,
  },
  {
    what: 'a ticket to no port',
    topic: 'agent',
    method: 'step',
    args: {
      ...host,
      operation: unknown,
      step: 'receive',
      attempt: 1,
      result: { receive: { address: 'a', port: 0, secret: 's' } },
    },
    says: /port/,
  },
  {
    what: 'hello without an identity',
    topic: 'agent',
    method: 'hello',
    args: { ...host, hostId: '', version: '1' },
    says: /hostId/,
  },
  {
    what: "hello under another machine's name",
    topic: 'agent',
    method: 'hello',
    args: { ...host, hostId: 'someone-else', version: '1' },
    says: /another machine/,
  },
  {
    what: 'a join of a life that has not said hello',
    topic: 'compute_agent',
    method: 'join',
    args: { ...self, hostId: 'x', availabilityZone: 'nova', report, guests: [] },
    says: /[Hh]ost/,
  },
  {
    what: 'a join with a guest that has no id',
    topic: 'compute_agent',
    method: 'join',
    args: { ...self, hostId: 'x', availabilityZone: 'nova', report, guests: [{ generation: 1 }] },
    says: /guests/,
  },
  {
    what: 'a report without numbers',
    topic: 'compute_agent',
    method: 'report',
    args: { ...self, report: { ...report, total: {} } },
    says: /total/,
  },
  {
    what: 'a report of a life that has not said hello',
    topic: 'compute_agent',
    method: 'report',
    args: { ...self, report },
    says: /[Hh]ost/,
  },
  {
    what: 'removed guests by a word',
    topic: 'compute_agent',
    method: 'removed',
    args: { ...self, instances: ['web'] },
    says: /instances/,
  },
  {
    what: 'an unknown power state of a guest',
    topic: 'compute_agent',
    method: 'power',
    args: { ...self, changes: [{ id: unknown, power: 'GLOWING' }] },
    says: /power/,
  },
  { what: "a face's method among the hosts'", topic: 'agent', method: 'boot', args: {}, says: /no method/ },
  {
    what: 'reading nothing of an image',
    topic: 'compute_agent',
    method: 'imageRead',
    args: { image: unknown, part: 'disk', offset: 0, length: 0 },
    says: /length/,
  },
  {
    what: 'reading an unknown image',
    topic: 'compute_agent',
    method: 'imageRead',
    args: { image: unknown, part: 'disk', offset: 0, length: 10 },
    says: /No image/,
  },
  {
    what: 'a decision without a size',
    topic: 'scheduler',
    method: 'decide',
    args: { projectId: 'p', hints: {}, excluded: [], needs: '2.0' },
    says: /size/,
  },
]

/** Bodies that are no message at all: nobody can be answered, and nobody minds. */
const garbage: Array<[string, string]> = [
  ['nothing', ''],
  ['what is not JSON', '{"oslo.version":'],
  ['a number', '42'],
  ['null', 'null'],
  ['a list', '[]'],
  ['an envelope without a message', '{"oslo.version":"2.0"}'],
  ['an envelope around what is not JSON', '{"oslo.version":"2.0","oslo.message":"{"}'],
  ['an envelope of another age', '{"oslo.version":"7.0","oslo.message":"{}"}'],
  ['an envelope whose message is a number', '{"oslo.version":"2.0","oslo.message":7}'],
  ['a message without a method', '{"oslo.version":"2.0","oslo.message":"{\\"args\\":{}}"}'],
  ['a method that is a number', '{"oslo.version":"2.0","oslo.message":"{\\"method\\":7,\\"args\\":{}}"}'],
  ['a cast of an unknown method', '{"oslo.version":"2.0","oslo.message":"{\\"method\\":\\"nope\\",\\"args\\":{}}"}'],
]

for (const backend of await backends())
  describe(`wrong messages on the bus (${backend})`, () => {
    let cloud: Cloud
    let channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createChannel']>>
    let link: Awaited<ReturnType<typeof connect>>
    let login: string
    const replies = new Map<string, (failure: { message: string; class: string } | null) => void>()

    beforeAll(async () => {
      cloud = await Cloud.open(backend)
      await cloud.up('--driver', 'fake')
      expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })
      const url = busUrl(await loadConfig({ env: cloud.env }))
      const [address] = parseAddresses(url)
      login = address.connect.username
      link = await connect(address.connect, address.socket)
      channel = await link.createChannel()
      const { queue } = await channel.assertQueue('reply_wrong', { exclusive: true })
      await channel.consume(
        queue,
        (message) => {
          const inner = JSON.parse(JSON.parse(message?.content.toString() ?? '{}')['oslo.message'])
          replies.get(inner._msg_id)?.(inner.failure === null ? null : JSON.parse(inner.failure))
        },
        { noAck: true },
      )
    })
    afterAll(async () => {
      await link?.close()
      await cloud?.close()
    })

    const ask = ({
      topic = 'conductor',
      namespace,
      version = agent.version,
      method,
      args,
    }: Omit<Wrong, 'what' | 'says'>) =>
      new Promise<{ message: string; class: string } | null>((resolve) => {
        const id = randomUUID().replaceAll('-', '')
        const ctx = admin()
        const message = {
          method,
          args,
          version,
          ...(namespace ? { namespace } : {}),
          _msg_id: id,
          _reply_q: 'reply_wrong',
          _timeout: null,
          _unique_id: id,
          _context_user_id: ctx.userId,
          _context_project_id: ctx.projectId,
          _context_roles: ctx.roles,
          _context_is_admin: true,
          _context_request_id: ctx.requestId,
        }
        replies.set(id, resolve)
        channel.publish(
          'nova',
          topic,
          Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) })),
          // Hosts must say who they are; brokers refuse another's name.
          { contentType: 'application/json', userId: login },
        )
      })

    /** All that a wrong message might have changed. */
    const everything = async () =>
      Promise.all(
        ['list', 'flavor list', 'image list', 'host list', 'operation list'].map((line) =>
          cloud.json<unknown>(...line.split(' ')),
        ),
      ).then((lists) =>
        // A heartbeat may pass between two looks.
        JSON.parse(
          JSON.stringify(lists, (key, value) => (key === 'seen_at' || key === 'heard_at' ? undefined : value)),
        ),
      )

    test('each is refused with what is wrong with it, and nothing changes', async () => {
      const before = await everything()
      const unexpected: string[] = []
      for (const row of wrong) {
        const failure = await ask(row)
        if (failure === null) unexpected.push(`${row.what}: was done`)
        else if (!row.says.test(failure.message)) unexpected.push(`${row.what}: ${failure.class}: ${failure.message}`)
        else if (failure.message.includes('\n')) unexpected.push(`${row.what}: more than one line`)
      }
      expect(unexpected).toEqual([])
      expect(await everything()).toEqual(before)
    })

    test.each(garbage)('%s is dropped, and the next message is answered', async (_, body) => {
      for (const topic of ['conductor', 'scheduler', 'compute.host']) channel.publish('nova', topic, Buffer.from(body))
      expect(await ask({ method: 'ping', args: {} })).toBeNull()
      expect(await ask({ topic: 'scheduler', method: 'ping', args: {} })).toBeNull()
      expect(await ask({ topic: 'compute.host', method: 'ping', args: {} })).toBeNull()
    })
  })
