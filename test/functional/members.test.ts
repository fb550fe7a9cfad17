import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Backend, backends, Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'

/*
 * What a member reads through the commands: the project's own, and of no host. The hosts are called `kvm-7-1` and so on, which
 * nothing else is.
 */
const found = await backends()
const backend: Backend = found.includes('services') ? 'services' : 'embedded'
const env = { NOVA_ROLE: 'member', NOVA_PROJECT: 'red' }
let cloud: Cloud

beforeAll(async () => {
  cloud = await Cloud.open(backend, { NOVA_COMPUTE_HOST: 'kvm-7' })
  await cloud.up('--driver', 'fake', '--hosts', '3')
  for (const project of ['red', 'default'])
    expect(await cloud.nova('boot', `${project}-web`, '--project', project, '--wait')).toMatchObject({ code: 0 })
}, 120_000)
afterAll(() => cloud?.close())

const asMember = async (...args: string[]) => {
  Object.assign(cloud.env, env)
  try {
    return await cloud.nova(...args)
  } finally {
    for (const name of Object.keys(env)) delete cloud.env[name]
  }
}

test('administrators read where everything is', async () => {
  const { services } = await cloud.json<{ services: Array<{ host: string }> }>('status')
  expect(services.filter(({ host }) => host.startsWith('kvm-7')).length).toBeGreaterThanOrEqual(3)
  expect((await cloud.json<{ host: string }>('show', 'red-web')).host).toMatch(/^kvm-7/)
})

test.each([
  ['status', '-f', 'json'],
  ['status'],
  ['list', '-f', 'json'],
  ['show', 'red-web', '-f', 'json'],
  ['explain', 'red-web'],
  ['explain', 'red-web', '-f', 'json'],
  ['boot', 'tried', '--dry-run', '-f', 'json'],
  ['operation', 'list', '-f', 'json'],
  ['event', 'list', '-f', 'json'],
  ['dashboard', '--once'],
  ['pause', 'red-web', '--wait'],
  ['unpause', 'red-web', '--wait', '-f', 'json'],
])('nova %s tells a member of no host, and of nothing of another project', async (...args) => {
  const { code, stdout, stderr } = await asMember(...args)
  expect([code, stdout.length > 0]).toEqual([0, true])
  expect(stdout + stderr).not.toMatch(/kvm-7/)
  expect(stdout + stderr).not.toMatch(/default-web/)
})

test('nova status counts what is the member’s own, and daemons', async () => {
  const { stdout } = await asMember('status', '-f', 'json')
  expect(JSON.parse(stdout)).toMatchObject({
    services: [],
    daemons: { compute: { up: 3, down: 0 }, conductor: { up: 1 }, scheduler: { up: 1 } },
    hosts: { up: 3, down: 0 },
    instances: { ACTIVE: 1 },
  })
})

test('a reader looks, and is told what it may not', async () => {
  cloud.env.NOVA_ROLE = 'reader'
  try {
    expect(await cloud.nova('list', '--project', 'red')).toMatchObject({ code: 0 })
    expect(await cloud.nova('pause', 'red-web', '--project', 'red')).toMatchObject({
      code: 1,
      stderr: 'nova: Only members and administrators may pause instances.\n',
    })
    expect((await cloud.nova('host', 'list')).stderr).toBe('nova: Only administrators may see the hosts.\n')
  } finally {
    delete cloud.env.NOVA_ROLE
  }
  await persist(async () => expect((await cloud.json<{ status: string }>('show', 'red-web')).status).toBe('ACTIVE'))
})
