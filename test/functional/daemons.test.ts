import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { livingPid } from '../../src/core/base/pid-file.ts'
import { backends, Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'

let cloud: Cloud
afterEach(() => cloud?.close())

describe.each(await backends())('daemons (%s)', (backend) => {
  test('each says that it is ready, works with the others, and ends with 0 on SIGTERM', async () => {
    cloud = await Cloud.open(backend, { NOVA_COMPUTE_DRIVER: 'fake' })
    const names = [...(backend === 'embedded' ? ['broker'] : []), 'conductor', 'scheduler', 'compute']
    const daemons = []
    for (const name of names) daemons.push(await cloud.daemon(name))
    const services = await cloud.json<Array<{ binary: string; state: string }>>('service', 'list')
    expect(services.map(({ binary, state }) => `${binary} ${state}`).sort()).toEqual([
      'compute up',
      'conductor up',
      'scheduler up',
    ])
    for (const daemon of daemons.reverse()) expect(await daemon.stop()).toBe(0)
  })

  test('db sync does its work once, and again harmlessly while daemons run', async () => {
    cloud = await Cloud.open(backend)
    expect((await cloud.nova('db', 'sync')).stdout).toMatch(/^Applied: 0001-first\b/)
    await cloud.up('--driver', 'fake')
    const syncs = await Promise.all([cloud.nova('db', 'sync'), cloud.nova('db', 'sync')])
    for (const sync of syncs) expect(sync).toMatchObject({ code: 0, stdout: expect.stringContaining('up to date') })
    const { current, latest } = await cloud.json<{ current: string; latest: string }>('db', 'version')
    expect(current).toBe(latest)
  })

  test('a cloud that is killed comes back by itself, with all that it had', async () => {
    cloud = await Cloud.open(backend)
    await cloud.up('--driver', 'fake')
    expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })
    const supervisor = livingPid(join(cloud.stateDir, 'run', 'nova.pid')) ?? 0
    const child = Number(readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8').trim())
    process.kill(child, 'SIGKILL')
    const rows = await persist(async () => {
      const rows = await cloud.json<Array<{ name: string; status: string; power: string }>>('list')
      const pid = Number(readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8').trim())
      if (pid === child || pid === 0) throw new Error('not back yet')
      return rows
    })
    expect(rows).toMatchObject([{ name: 'web', status: 'ACTIVE', power: 'RUNNING' }])
    expect(await persist(async () => expect(await cloud.nova('pause', 'web', '--wait')).toMatchObject({ code: 0 })))
  })
})

describe('one machine', () => {
  test('up and down may be said twice', async () => {
    cloud = await Cloud.open('embedded')
    expect((await cloud.up('--driver', 'fake')).stdout).toContain('The cloud is up.')
    expect((await cloud.nova('up')).stdout).toContain('The cloud is already up')
    expect((await cloud.nova('up', '--foreground')).code).toBe(1)
    expect(await cloud.nova('down')).toMatchObject({ code: 0 })
    expect((await cloud.nova('down')).stdout).toContain('No cloud is running')
    expect(await cloud.nova('list')).toMatchObject({ code: 1, stderr: expect.stringContaining('nova up') })
  })

  test.each([
    [{ NOVA_LOG_LEVEL: 'loud' }, ['log.level', '"loud"', 'debug, info, warn, error, silent']],
    [{ NOVA_OPERATIONS_LEASE_SECONDS: '-3' }, ['operations.lease_seconds', '-3', '>0']],
    [{ NOVA_SCHEDULER_FILTERS: 'ram,magic' }, ['scheduler.filters', 'magic', 'availability-zone']],
    [{ NOVA_DATABASE_URL: 'oracle://db' }, ['database.url', 'oracle', 'sqlite:']],
    [{ NOVA_BUS_URL: 'http://bus' }, ['bus.url', 'http', 'amqp://']],
    [{ NOVA_COMPUTE_DRIVER: 'no-such-driver' }, ['compute.driver', 'no-such-driver', 'qemu, fake']],
  ])(
    'a wrong configuration %o ends it with 2 and says which key, which value, what is allowed',
    async (settings, says) => {
      cloud = await Cloud.open('embedded', settings)
      const ran = await cloud.nova('up', '--foreground')
      expect(ran.code).toBe(2)
      for (const text of says) expect(ran.stderr.replaceAll('\\"', '"')).toContain(text)
    },
  )
})

test('a log that cannot be written costs its lines, and no daemon', async () => {
  cloud = await Cloud.open('embedded')
  const full = openSync('/dev/full', 'w')
  const broker = await cloud.daemon('broker', { NOVA_LOG_LEVEL: 'debug' }, full)
  closeSync(full)
  expect(await broker.stop()).toBe(0)
})

test('a host without QEMU does not come up with it, says what to install, and may have another driver next', async () => {
  cloud = await Cloud.open('embedded', { PATH: '/nowhere' })
  expect(await cloud.nova('up', '--driver', 'qemu')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/cannot be run here \(apt-get install .*qemu-system-x86 qemu-utils\)/),
  })
  await cloud.up()
  expect(await cloud.nova('host', 'list', '-f', 'value')).toMatchObject({ stdout: expect.stringContaining('fake') })
})

describe('a state directory with instances', { timeout: 60_000 }, () => {
  test('keeps the name of its host, and is not started so that they would be left behind', async () => {
    // Empty: the machine's own name counts, which is not the one that the state directory has.
    cloud = await Cloud.open('embedded', { NOVA_COMPUTE_HOST: '' })
    await cloud.up('--driver', 'fake', '--set', 'compute.host=alpha')
    await cloud.nova('boot', 'web', '--wait')
    await cloud.nova('down')
    for (const [changed, key] of [
      [['--driver', 'qemu'], 'compute.driver = qemu'],
      [['--set', 'compute.host=beta'], 'compute.host = beta'],
      [['--hosts', '2'], 'fake.hosts = 2'],
    ] as const) {
      const { code, stderr } = await cloud.nova('up', ...changed)
      expect(code, key).toBe(2)
      expect(stderr).toContain(`${key} (`)
      expect(stderr).toContain('1 instance of host alpha (driver fake) would be left behind')
      expect(stderr).toContain('Start as before: nova up --driver fake --hosts 1 --set compute.host=alpha.')
    }
    await cloud.up()
    expect(await cloud.json('list')).toMatchObject([{ name: 'web', host: 'alpha', power: 'RUNNING' }])
    expect(await cloud.json('host', 'list')).toMatchObject([{ name: 'alpha', state: 'up' }])
    // Without instances nothing is left behind.
    await cloud.nova('delete', 'web', '--wait')
    await cloud.nova('down')
    await cloud.up('--set', 'compute.host=beta')
  })
})
