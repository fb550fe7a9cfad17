import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Failure } from '../../src/core/base/errors.ts'
import type { Decision, Image, ImagePart, Published } from '../../src/core/contracts/shapes.ts'
import { kindOf, type OperationKind } from '../../src/core/model/operation.ts'
import { anOperation, ids, type StandIn, startStandIn, webInstance, webSummary } from '../cli/stand-in.ts'
import { qcow2File } from '../kit/qcow2.ts'

let standIn: StandIn
const scratch = mkdtempSync(join(tmpdir(), 'nova-commands-'))
beforeAll(async () => {
  standIn = await startStandIn()
})
beforeEach(() => {
  standIn.asked.length = 0
})
afterAll(async () => {
  await standIn.close()
  rmSync(scratch, { recursive: true, force: true })
})

/** Runs a command that must succeed: what it printed. */
async function good(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await standIn.nova(args)
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}
const begun = { operation: ids.pause, instance: { id: ids.web, name: 'web' } }
const published = (type: string, operation: Published['operation']): Published => ({
  id: 0,
  at: 1,
  type,
  instanceId: ids.web,
  instanceName: 'web',
  operationId: ids.pause,
  requestId: 'req-1',
  projectId: 'default',
  operation,
})

describe('asking', () => {
  test('one command is one question, in the name of the user and the project', async () => {
    standIn.answers = { instanceList: async () => ({ instances: [webSummary] }) }
    expect(
      await good('list', '--project', 'red', '--status', 'ACTIVE', '--all-tenants', '-f', 'value', '-c', 'name'),
    ).toBe('web\n')
    expect(standIn.asked).toMatchObject([
      {
        method: 'instanceList',
        args: { status: 'ACTIVE', allProjects: true },
        ctx: {
          userId: userInfo().username,
          projectId: 'red',
          isAdmin: true,
          requestId: expect.stringMatching(/^req-/),
        },
      },
    ])
  })
  test('flags of all commands may stand before the command, and in the environment', async () => {
    standIn.answers = { instanceList: async () => ({ instances: [webSummary] }) }
    expect(await good('-f', 'value', '--column=name', '-cstatus', 'list')).toBe('web ACTIVE\n')
    const { stdout } = await standIn.nova(['list', '-c', 'name'], {
      NOVA_FORMAT: 'value',
      NOVA_PROJECT: 'blue',
      NOVA_ROLE: 'member',
    })
    expect(stdout).toBe('web\n')
    expect(standIn.asked.at(-1)?.ctx).toMatchObject({ projectId: 'blue', roles: ['member'], isAdmin: false })
  })
  test.each([
    ['flavor-list', 'flavorList'],
    ['image-list', 'imageList'],
    ['service-list', 'serviceList'],
    ['host-list', 'hostList'],
    ['hypervisor-list', 'hostList'],
  ])('the old name %s still works', async (name, method) => {
    const empty = { flavors: [], images: [], services: [], hosts: [] }
    standIn.answers = { [method]: async () => empty }
    expect(await good(name, '-f', 'json')).toBe('[]\n')
    expect(standIn.asked.map((question) => question.method)).toEqual([method])
  })
  test('a list is read page by page to its end, or the page that is named', async () => {
    const flavor = (i: number) => ({ id: `f${i}`, name: `n${i}`, vcpus: 1, memoryMb: 1, diskGb: 0, createdAt: 1 })
    standIn.answers = {
      flavorList: async (_, { marker, limit = 1000 }) => {
        const after = marker === undefined ? 0 : Number(marker.slice(1)) + 1
        return {
          flavors: Array.from({ length: Math.max(0, Math.min(limit, 2500 - after)) }, (_, i) => flavor(after + i)),
        }
      },
    }
    const all = (await good('flavor', 'list', '-f', 'value', '-c', 'id')).trim().split('\n')
    expect([all.length, new Set(all).size]).toEqual([2500, 2500])
    expect(standIn.asked.map(({ args }) => args)).toEqual([{}, { marker: 'f999' }, { marker: 'f1999' }])
    standIn.asked.length = 0
    expect(await good('flavor', 'list', '--limit', '2', '--marker', 'f7', '-f', 'value', '-c', 'id')).toBe('f8\nf9\n')
    expect(standIn.asked.map(({ args }) => args)).toEqual([{ limit: 2, marker: 'f7' }])
  })
  test('all instances are read page by page, of what has been only the newest, with a word about the others', async () => {
    const idOf = (i: number) => `11111111-1111-4111-8111-${String(i).padStart(12, '0')}`
    const rows = Array.from({ length: 1500 }, (_, i) => ({ ...webSummary, id: idOf(i) }))
    const page = <T extends { id: string }>(all: readonly T[], marker: string | undefined): T[] => {
      const from = marker === undefined ? 0 : all.findIndex(({ id }) => id === marker) + 1
      return all.slice(from, from + 1000)
    }
    standIn.answers = {
      instanceList: async (_, { marker }) => ({ instances: page(rows, marker) }),
      operationList: async (_, { marker }) => ({
        operations: page(
          rows.map(({ id }) => anOperation({ id })),
          marker,
        ),
      }),
      eventList: async (_, { limit = 100 }) => ({
        events: Array.from({ length: limit }, (_, i) => ({
          id: i + 1,
          at: 1,
          type: 'host.up',
          requestId: 'r',
          projectId: 'p',
        })),
      }),
    }
    const ids = async (...args: string[]) => {
      const { stdout, stderr } = await standIn.nova([...args, '-f', 'value', '-c', 'id'])
      return [stdout.trim().split('\n').length, stderr]
    }
    expect(await ids('list', '--status', 'ACTIVE')).toEqual([1500, ''])
    expect(standIn.asked.map(({ args }) => args)).toEqual([
      { status: 'ACTIVE' },
      { status: 'ACTIVE', marker: idOf(999) },
    ])
    const more = `There may be more. Continue with: --marker ${idOf(999)}\n`
    expect(await ids('list', '--deleted')).toEqual([1000, more])
    expect(await ids('operation', 'list')).toEqual([1000, more])
    expect(await ids('operation', 'list', '--marker', idOf(999))).toEqual([500, ''])
    expect(await ids('event', 'list')).toEqual([100, 'There may be older ones: --limit N\n'])
    expect(await ids('event', 'list', '--after', '7')).toEqual([100, 'There may be more. Continue with: --after 100\n'])
    expect(await ids('event', 'list', '--limit', '100')).toEqual([100, ''])
  })
  test('what a guest wrote is printed as it is into a pipe', async () => {
    standIn.answers = { consoleLog: async () => ({ text: 'boot\r\n\u001b[1mlogin:' }) }
    expect(await good('console-log', 'web', '--lines', '5')).toBe('boot\r\n\u001b[1mlogin:\n')
    expect(standIn.asked[0]?.args).toEqual({ instance: 'web', lines: 5 })
  })
  test('host add prints what to put there, and says where an address is missing', async () => {
    const login = { host: 'h1', user: 'host.h1', password: 'pw', known: false }
    standIn.answers = { hostAdd: async () => ({ ...login, url: 'amqps://host.h1:pw@bus:5671' }) }
    const text = await good('host', 'add', 'h1')
    expect(text).toContain('url = "amqps://host.h1:pw@bus:5671"')
    expect(text).toContain("NOVA_BUS_CA_FILE='/etc/nova/ca.pem'")
    expect(text).toContain('host = "h1"')
    expect(await good('host', 'add', 'h1', '-f', 'value', '-c', 'url')).toBe('amqps://host.h1:pw@bus:5671\n')
    expect(text).not.toContain('this machine alone')
    standIn.answers = { hostAdd: async () => ({ ...login, url: 'amqp://host.h1:pw@127.0.0.1:5672' }) }
    expect(await good('host', 'add', 'h1')).toContain('listens on loopback only')
    standIn.answers = { hostAdd: async () => login }
    expect(await good('host', 'add', 'h1')).toMatch(/set\sbroker.listen[\s\S]*host.h1:pw@ADDRESS-OF-THE-BROKER/)
  })
  test('show tells the MAC, or that an older conductor has not told it', async () => {
    standIn.answers = { instanceShow: async () => webInstance }
    expect(await good('show', 'web', '-f', 'value', '-c', 'mac_address')).toBe('fa:16:3e:12:34:56\n')
    const { macAddress: _, ...older } = webInstance
    standIn.answers = { instanceShow: async () => older }
    expect(JSON.parse(await good('show', 'web', '-f', 'json'))).toMatchObject({ name: 'web', mac_address: null })
  })
  test('--debug tells each question and how long it took, beside the answer', async () => {
    standIn.answers = { instanceShow: async () => webInstance }
    const { stdout, stderr } = await standIn.nova(['show', 'web', '--debug', '-f', 'json'])
    expect(JSON.parse(stdout)).toMatchObject({ name: 'web' })
    expect(stderr).toMatch(/instanceShow took \d+ ms \(req-/)
  })
})

describe('beginning', () => {
  const idempotencyKey = expect.stringMatching(/^[0-9a-f-]{36}$/)
  const verbs = ['pause', 'unpause', 'suspend', 'resume', 'stop', 'start', 'reboot', 'delete'] as const
  test.each(verbs)('%s begins that operation and says how to follow it', async (verb) => {
    standIn.answers = { begin: async () => begun }
    expect(await good(verb, 'web')).toBe(`web: ${kindOf(verb).task} (nova operation follow ${ids.pause})\n`)
    expect(standIn.asked[0]?.args).toEqual({ instance: 'web', kind: verb, idempotencyKey })
  })
  test('reboot --hard begins the hard one', async () => {
    standIn.answers = { begin: async () => begun }
    await good('reboot', '--hard', 'web')
    expect(standIn.asked[0]?.args).toEqual({ instance: 'web', kind: 'reboot-hard', idempotencyKey })
  })
  test('several are begun each, and one that is refused does not keep the others', async () => {
    standIn.answers = {
      begin: async (_, { instance }) => {
        if (instance === 'db1') throw new Failure('InstanceNotFound', { id: 'db1' })
        return { operation: ids.pause, instance: { id: ids.web, name: instance } }
      },
    }
    const { code, stdout, stderr } = await standIn.nova(['pause', 'web', 'db1', 'web', 'cache'])
    expect(stdout.split('\n').map((line) => line.split(':')[0])).toEqual(['web', 'cache', ''])
    expect(stderr).toBe('nova: No instance "db1".\n  List them: nova list\n')
    expect(code).toBe(1)
    expect(standIn.asked).toHaveLength(3)
  })
  test('for programs it answers with a row for each', async () => {
    standIn.answers = { begin: async () => begun }
    expect(JSON.parse(await good('pause', 'web', '-f', 'json'))).toEqual([
      { id: ids.web, name: 'web', operation_id: ids.pause, kind: 'pause', state: 'queued', step: null, fault: null },
    ])
  })
})

describe('--wait', () => {
  const end =
    (state: 'succeeded' | 'failed', kind: OperationKind = 'pause') =>
    async () => {
      setImmediate(() => {
        const fault = {
          code: 'DriverFailed',
          message: 'The hypervisor could not pause it: it hung',
          hint: 'nova doctor',
          at: 1,
        }
        const told = { kind, state, step: 'pause', attempt: 1, ...(state === 'failed' ? { fault } : {}) }
        void standIn.bus.publish(`instance.pause.end.${ids.web}.${ids.pause}`, published('instance.pause.end', told))
      })
      return anOperation({ id: ids.pause, kind, step: 'pause' })
    }
  test('ends with the operation and says how the instance is', async () => {
    standIn.answers = { begin: async () => begun, operationShow: end('succeeded') }
    expect(await good('pause', 'web', '--wait')).toBe('web: PAUSED\n')
    standIn.answers = { begin: async () => begun, operationShow: end('succeeded', 'delete') }
    expect(await good('delete', 'web', '--wait')).toBe('web: deleted\n')
  })
  test('fails with the fault of the operation', async () => {
    standIn.answers = { begin: async () => begun, operationShow: end('failed') }
    expect(await standIn.nova(['pause', 'web', '--wait'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'nova: The pause of web failed at step "pause": The hypervisor could not pause it: it hung\n  nova doctor\n',
    })
  })
  test('gives up after --timeout, and the operation goes on', async () => {
    standIn.answers = {
      begin: async () => begun,
      operationShow: async () => anOperation({ id: ids.pause, kind: 'pause' }),
    }
    const { code, stderr } = await standIn.nova(['pause', 'web', '--wait', '--timeout', '0.5'])
    expect(stderr).toBe(
      `nova: Not done after 0.5 s: pause of web. It continues.\n  Follow it: nova operation follow ${ids.pause}\n`,
    )
    expect(code).toBe(1)
  })
  test('ends at Ctrl-C with 130, and says how to go on', async () => {
    let asked = (): void => undefined
    const waits = new Promise<void>((resolve) => {
      asked = resolve
    })
    standIn.answers = {
      begin: async () => begun,
      operationShow: async () => {
        asked()
        return anOperation({ id: ids.pause, kind: 'pause' })
      },
    }
    const child = standIn.start(['pause', 'web', '--wait'])
    const stderr = text(child.stderr!)
    await waits
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
    expect(await stderr).toBe(
      `nova: The waiting was interrupted: the operation continues.\n  Follow it: nova operation follow ${ids.pause}\n`,
    )
  })
})

describe('boot', () => {
  const answer = { begun: [{ ...begun, operation: ids.boot }], flavor: 'm1.nano', image: 'tiny' }
  test('sends what was said, nothing else, and shows the instance', async () => {
    standIn.answers = { boot: async () => answer }
    // Bytes that are no text, as gzip writes them.
    const userData = Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0xff, 0xfe, 0x0a])
    const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@home'
    writeFileSync(join(scratch, 'key.pub'), `${key}\n`)
    const { code, stdout, stderr } = await standIn.nova(
      [
        'boot',
        'web',
        '--meta',
        'a=1',
        '--meta',
        'b=x=y',
        '--key',
        join(scratch, 'key.pub'),
        '--user-data',
        '-',
        '--hint',
        'same_host=db',
      ],
      {},
      userData,
    )
    expect(standIn.asked[0]?.args).toEqual({
      name: 'web',
      metadata: { a: '1', b: 'x=y' },
      hints: { same_host: 'db' },
      key,
      userData: userData.toString('base64'),
      // Its own for each command, where none is given: the same message twice is one instance.
      idempotencyKey: expect.stringMatching(/^[0-9a-f-]{36}$/),
      // A person reads the table.
      findAlike: true,
    })
    expect(stdout).toContain(`| operation_id    | ${ids.boot} |`)
    expect(stderr).toBe(`Used by default: flavor m1.nano, image tiny\nFollow it: nova operation follow ${ids.boot}\n`)
    expect(code).toBe(0)
  })
  test('says nothing of defaults where none were taken, and nothing beside JSON', async () => {
    standIn.answers = { boot: async () => answer }
    const json = JSON.parse(
      await good('boot', 'web', '--flavor', 'm1.nano', '-f', 'json', '--availability-zone', 'z:h'),
    )
    expect(json).toMatchObject({ name: 'web', status: 'BUILD', operation_id: ids.boot, image: 'tiny' })
    expect(standIn.asked[0]?.args).toMatchObject({ availabilityZone: 'z:h' })
    expect(JSON.parse(await good('boot', 'web', '--count', '1', '-f', 'json'))).toHaveLength(1)
  })
  test('--wait shows the machine as it is then', async () => {
    standIn.answers = {
      boot: async () => answer,
      operationShow: async () => anOperation({ state: 'succeeded', host: 'host1' }),
    }
    const { code, stdout } = await standIn.nova(['boot', 'web', '--wait', '-f', 'value', '-c', 'status', '-c', 'host'])
    expect([code, stdout]).toEqual([0, 'ACTIVE\nhost1\n'])
  })

  const decision: Decision = {
    at: 1,
    chosen: 'host2',
    summary: '2 hosts: 1 full; host2 has the most free memory',
    filters: ['ram', 'disk'],
    weighers: ['free-ram'],
    hosts: [
      { host: 'host1', passed: false, filter: 'ram', reason: 'wants 64 MiB, 10 MiB left' },
      { host: 'host2', passed: true, weight: 1.25, weights: { 'free-ram': 1.25 } },
    ],
  }
  test('--dry-run shows every host with its verdict, and boots nothing', async () => {
    standIn.answers = { bootDryRun: async () => ({ decision, flavor: 'm1.nano', image: 'tiny' }) }
    const { code, stdout } = await standIn.nova(['boot', 'web', '--dry-run'])
    expect(stdout).toBe(
      [
        'Chosen: host2. 2 hosts: 1 full; host2 has the most free memory',
        '+-------+---------+--------------------------------+----------+--------+',
        '| host  | verdict | reason                         | free-ram | weight |',
        '+-------+---------+--------------------------------+----------+--------+',
        '| host2 | chosen  | -                              | 1.25     | 1.25   |',
        '| host1 | no      | ram: wants 64 MiB, 10 MiB left | -        | -      |',
        '+-------+---------+--------------------------------+----------+--------+',
        'Filters, in this order: ram, disk',
        '',
      ].join('\n'),
    )
    expect([code, standIn.asked.map((question) => question.method)]).toEqual([0, ['bootDryRun']])
  })
  test('--dry-run among many hosts counts those that it does not show', async () => {
    const counts = {
      hosts: 1000,
      passed: 701,
      refused: [
        { filter: 'compute-up', group: 'down', hosts: 200 },
        { filter: 'ram', group: 'with too little memory', hosts: 99 },
      ],
    }
    standIn.answers = {
      bootDryRun: async () => ({ decision: { ...decision, counts }, flavor: 'm1.nano', image: 'tiny' }),
    }
    const { stdout } = await standIn.nova(['boot', 'web', '--dry-run'])
    expect(stdout).toContain(
      [
        '',
        'And 998 more: 700 that can, 298 that cannot.',
        'All hosts that cannot: 200 down, 99 with too little memory.',
        'Filters, in this order: ram, disk',
        '',
      ].join('\n'),
    )
    expect(JSON.parse(await good('boot', 'web', '--dry-run', '-f', 'json'))).toMatchObject({ counts })
  })
  test('--dry-run that finds no host fails', async () => {
    const { chosen: _, ...none } = { ...decision, summary: '2 hosts: 2 full' }
    standIn.answers = { bootDryRun: async () => ({ decision: none, flavor: 'm1.nano', image: 'tiny' }) }
    const { code, stdout, stderr } = await standIn.nova(['boot', 'web', '--dry-run', '-f', 'json'])
    expect(JSON.parse(stdout)).toMatchObject({
      chosen: null,
      flavor: 'm1.nano',
      hosts: [{ host: 'host1' }, { host: 'host2' }],
    })
    expect([code, stderr]).toEqual([1, 'nova: No host can take web: 2 hosts: 2 full\n  Nothing was booted.\n'])
  })
  test('a member reads counts in the place of hosts, of what is tried and of what was decided', async () => {
    const counts = {
      hosts: 5,
      passed: 1,
      refused: [
        { filter: 'ram', group: 'with too little memory', hosts: 1 },
        { filter: 'disk', group: 'with too little disk', hosts: 3 },
      ],
    }
    const refused = { ...decision, hosts: [], counts }
    const { chosen: _, ...told } = { ...refused, placed: true, summary: 'one of the 1 that can, of 5 in all' }
    standIn.answers = {
      bootDryRun: async () => ({ decision: told, flavor: 'm1.nano', image: 'tiny' }),
      explain: async () => ({ instance: webSummary, decision: told }),
    }
    const shown = [
      'A host was chosen: one of the 1 that can, of 5 in all',
      '5 hosts: 1 that can, 4 that cannot.',
      'All hosts that cannot: 1 with too little memory, 3 with too little disk.',
      'Filters, in this order: ram, disk',
      '',
    ].join('\n')
    expect((await standIn.nova(['boot', 'web', '--dry-run', '--role', 'member'])).stdout).toBe(shown)
    expect(await good('explain', 'web', '--role', 'member')).toContain(shown)
    expect(JSON.parse(await good('explain', 'web', '-f', 'json'))).toMatchObject({
      chosen: null,
      placed: true,
      counts,
    })
  })
  test('explain shows the same of what was decided', async () => {
    standIn.answers = { explain: async () => ({ instance: webSummary, decision }) }
    expect(await good('explain', 'web')).toMatch(/^web is ACTIVE on host1\. Chosen: host2\./)
    expect(await good('explain', 'web', '-f', 'value', '-c', 'host', '-c', 'reason')).toBe(
      'host1 wants 64 MiB, 10 MiB left\nhost2 -\n',
    )
  })
})

describe('image create', () => {
  /** A service that keeps what it is sent; it lacks `missing`. */
  function imageService(missing: ImagePart[]) {
    const files = new Map<ImagePart, Buffer>()
    const order: number[] = []
    let image: Image | undefined
    standIn.answers = {
      imageCreate: async (_, { name, files: announced, diskFormat }) => {
        image = {
          id: ids.image,
          name,
          status: 'saving',
          files: announced,
          minMemoryMb: 0,
          minDiskGb: 0,
          sizeBytes: 0,
          metadata: {},
          createdAt: 1,
          ...(diskFormat ? { diskFormat } : {}),
        }
        return { image, missing }
      },
      imageWrite: async (_, { part, offset, data }) => {
        const bytes = Buffer.from(data, 'base64')
        const before = files.get(part) ?? Buffer.alloc(0)
        const after = Buffer.alloc(Math.max(before.length, offset + bytes.length))
        before.copy(after)
        bytes.copy(after, offset)
        files.set(part, after)
        order.push(offset)
        return { status: 'saving' }
      },
      imageShow: async () => ({ ...image!, status: 'active' }),
    }
    return { files, order }
  }
  const disk = Buffer.concat([qcow2File({}), randomBytes(3 * (1 << 20) + 123)])
  const kernel = Buffer.from('a kernel')
  beforeAll(() => {
    writeFileSync(join(scratch, 'disk'), disk)
    writeFileSync(join(scratch, 'kernel'), kernel)
  })
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

  test('what no guest could start from is refused before anything is sent', async () => {
    const service = imageService(['disk'])
    const packed = join(scratch, 'disk.xz')
    writeFileSync(packed, Buffer.from('\xfd7zXZ\0 and so on', 'latin1'))
    const create = ['image', 'create', 'd', '--disk', packed]
    const { code, stderr } = await standIn.nova(create)
    expect([code, stderr]).toEqual([2, expect.stringContaining('it is xz, no disk.\n  Unpack it first.')])
    expect(service.order).toEqual([])
    await good(...create, '--disk-format', 'raw')
    expect(service.order).toEqual([0])
  })

  test('a named pipe is no file, and nobody waits for who writes to it', async () => {
    execFileSync('mkfifo', [join(scratch, 'pipe')])
    const { code, stderr } = await standIn.nova(['image', 'create', 'd', '--disk', join(scratch, 'pipe')])
    expect([code, stderr]).toEqual([2, expect.stringContaining('is not a file')])
  })

  test('announces size, checksum and format, sends in pieces, and the last piece last', async () => {
    const service = imageService(['disk', 'kernel'])
    const args = ['image', 'create', 'd', '--file', join(scratch, 'disk'), '--kernel', join(scratch, 'kernel')]
    expect(JSON.parse(await good(...args, '--min-memory', '1G', '-f', 'json'))).toMatchObject({
      status: 'active',
      disk_format: 'qcow2',
    })
    expect(standIn.asked[0]?.args).toEqual({
      name: 'd',
      diskFormat: 'qcow2',
      minMemoryMb: 1024,
      files: {
        disk: { sizeBytes: disk.length, sha256: sha256(disk) },
        kernel: { sizeBytes: kernel.length, sha256: sha256(kernel) },
      },
    })
    expect(service.files.get('disk')?.equals(disk)).toBe(true)
    expect(service.files.get('kernel')?.equals(kernel)).toBe(true)
    expect(service.order.filter((offset) => offset > 0).at(-1)).toBe(3 * (1 << 20))
  })
  test('sends only what the service lacks', async () => {
    const service = imageService(['kernel'])
    await good(
      'image',
      'create',
      'd',
      '--disk',
      join(scratch, 'disk'),
      '--kernel',
      join(scratch, 'kernel'),
      '-f',
      'json',
    )
    expect([...service.files.keys()]).toEqual(['kernel'])
  })
  test('a refused piece ends it with that failure', async () => {
    imageService(['disk'])
    standIn.answers.imageWrite = async () => {
      throw new Failure('ImageCorrupt', { name: 'd', expected: 'aa', actual: 'bb' })
    }
    const { code, stderr } = await standIn.nova(['image', 'create', 'd', '--disk', join(scratch, 'disk')])
    expect([code, stderr.split('\n')[0]]).toEqual([
      1,
      'nova: Image "d" does not have the announced checksum: its sha256 is bb, not aa.',
    ])
  })
})

describe('event list', () => {
  const event = (id: number, type = 'instance.pause.end') => ({ ...published(type, undefined), id })
  test('--follow shows the past, then what happens, each once', async () => {
    standIn.answers = {
      eventList: async () => {
        // While the past is on its way something happens that is also in it, and something new.
        await standIn.bus.publish('a', event(2))
        await standIn.bus.publish('a', event(3))
        return { events: [event(1), event(2)] }
      },
    }
    const child = standIn.start(['event', 'list', '--follow', '-f', 'json'])
    let seen = ''
    child.stdout!.on('data', (chunk) => {
      seen += chunk
    })
    const lines = () => seen.trim().split('\n').filter(Boolean)
    await expect.poll(() => lines().length, { timeout: 20_000 }).toBe(3)
    await standIn.bus.publish('a', {
      ...event(0, 'operation.step'),
      operation: { kind: 'boot', state: 'running', step: 'disk', attempt: 1 },
    })
    // Of two transactions the one that was numbered first may be told of last.
    await standIn.bus.publish('a', event(5))
    await standIn.bus.publish('a', event(4))
    await standIn.bus.publish('a', event(5))
    await standIn.bus.publish('a', event(6))
    await expect.poll(() => lines().length, { timeout: 20_000 }).toBe(7)
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([0, null])
    const rows = lines().map((line) => JSON.parse(line))
    expect(rows.map((row) => row.id)).toEqual([1, 2, 3, 0, 5, 4, 6])
    expect(rows[3]).toMatchObject({ type: 'operation.step', message: 'boot: disk' })
  })
  test('a reader that goes away ends it without a word', async () => {
    standIn.answers = { eventList: async () => ({ events: [event(1)] }) }
    const child = standIn.start(['event', 'list', '--follow'])
    const stderr = text(child.stderr!)
    await once(child.stdout!, 'data')
    child.stdout!.destroy()
    await standIn.bus.publish('a', event(5))
    await standIn.bus.publish('a', event(6))
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(await stderr).toBe('')
  })
})

describe('help', () => {
  test('names every command that is not hidden, in groups', async () => {
    const help = await good('--help')
    for (const word of ['INSTANCES', 'boot', 'console-log', 'flavor', '(cancel follow list retry show)', 'FIRST STEPS'])
      expect(help).toContain(word)
    expect(help).not.toContain('flavor-list')
    expect(await good('help')).toBe(help)
    expect(await good()).toBe(help)
  })
  test('of a command has its usage, its flags with their variables, and examples', async () => {
    const help = await good('boot', '--help')
    for (const word of ['$ nova boot NAME', '--flavor=FLAVOR', 'NOVA_FLAVOR', 'EXAMPLES', '$ nova boot web --count 3'])
      expect(help).toContain(word)
    expect(await good('help', 'boot')).toBe(help)
    expect(await good('flavor-list', '-h')).toContain('$ nova flavor list')
  })
  test('of a topic lists its commands', async () => {
    expect(await good('flavor', '--help')).toContain('flavor create  Create a flavor')
  })
  test('--version says versions', async () => {
    expect(await good('--version')).toMatch(/^nova \d+\.\d+\.\d+ \(node v\d+\.\d+\.\d+, \w+-\w+\)\n$/)
  })
})
