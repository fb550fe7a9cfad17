import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { livingPid } from '../../src/core/base/pid-file.ts'
import { Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'

let cloud: Cloud
afterEach(() => cloud?.close())

const pidFile = (): string => join(cloud.stateDir, 'run', 'nova.pid')
const supervisor = (): number => livingPid(pidFile()) ?? 0
const cloudOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())

describe('an impatient operator', () => {
  test('may say nova up several times at once: one cloud comes up, and all see it', async () => {
    cloud = await Cloud.open('embedded')
    const ran = await Promise.all([1, 2, 3].map(() => cloud.up('--driver', 'fake')))
    for (const { stdout } of ran) expect(stdout).toContain('hosts 1 up')
    expect(ran.filter(({ stdout }) => stdout.includes('The cloud is up.'))).toHaveLength(1)
  })

  test('may kill the supervisor: its cloud steps in, is found by up, and ends with down', async () => {
    cloud = await Cloud.open('embedded')
    await cloud.up('--driver', 'fake')
    const killed = supervisor()
    const left = cloudOf(killed)
    process.kill(killed, 'SIGKILL')
    await persist(async () => expect(supervisor()).toBe(left))
    expect((await cloud.nova('up')).stdout).toContain(`The cloud is already up (process ${left})`)
    expect((await cloud.nova('down')).stdout).toContain('The daemons have stopped')
    expect(supervisor()).toBe(0)
    await cloud.up()
  })

  test('may kill supervisor and cloud: the next up finds everything as it was', async () => {
    cloud = await Cloud.open('embedded')
    await cloud.up('--driver', 'fake', '--hosts', '3')
    expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })
    const killed = supervisor()
    const pids = [killed, cloudOf(killed)]
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    // As many hosts as before, though nobody says so again: one of them has the instance.
    expect((await cloud.up()).stdout).toContain('hosts 3 up')
    expect(await cloud.nova('pause', 'web', '--wait')).toMatchObject({ code: 0 })
  })

  test('is told that flags do not change a cloud that runs', async () => {
    cloud = await Cloud.open('embedded')
    await cloud.up('--driver', 'fake')
    expect((await cloud.nova('up', '--hosts', '5')).stderr).toContain('already running with its earlier flags')
  })

  test('sees why this start failed, not an earlier one', async () => {
    cloud = await Cloud.open('embedded', { NOVA_COMPUTE_DRIVER: 'fake' })
    mkdirSync(join(cloud.stateDir, 'run'), { mode: 0o700 })
    const squatter = createServer().listen(join(cloud.stateDir, 'run', 'bus.sock'))
    await once(squatter, 'listening')
    const ran = await cloud.nova('up')
    expect(ran.stderr).toContain('another program already listens there')
    await new Promise((resolve) => squatter.close(resolve))
    await cloud.up()
    expect(ran.stderr.trim().split('\n')).toHaveLength(3)
  })

  test('is told in one line that the state directory cannot be used', async () => {
    cloud = await Cloud.open('embedded', { NOVA_STATE_DIR: '/etc/passwd/nova' })
    for (const args of [['up'], ['db', 'sync']]) {
      const ran = await cloud.nova(...args)
      expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('Cannot use /etc/passwd/nova') })
      expect(ran.stderr).toContain('NOVA_STATE_DIR')
      expect(ran.stderr).not.toContain('bug')
    }
  })

  test('leaves nothing for others to read, and no secret on a command line or in the log', async () => {
    const secret = 's3cret-word'
    cloud = await Cloud.open('embedded')
    await cloud.up('--driver', 'fake', '--set', `broker.user=${secret}`)
    const pid = supervisor()
    for (const one of [pid, cloudOf(pid)]) expect(readFileSync(`/proc/${one}/cmdline`, 'utf8')).not.toContain(secret)
    const password = readFileSync(join(cloud.stateDir, 'run', 'bus.password'), 'utf8').trim()
    expect(cloud.log()).not.toContain(password)
    for (const name of readdirSync(cloud.stateDir, { recursive: true, encoding: 'utf8' }))
      expect(`${name} ${(statSync(join(cloud.stateDir, name)).mode & 0o077).toString(8)}`).toBe(`${name} 0`)
  })
  test.each([
    [{ NOVA_STATE_DIR: `/tmp/${'x'.repeat(110)}` }, 2, ['107 bytes', 'NOVA_STATE_DIR']],
    [
      { NOVA_DATABASE_URL: 'mysql://nova:hush@127.0.0.1:1/nova' },
      1,
      ['database cannot be reached: 127.0.0.1:1: connect'],
    ],
    [{ NOVA_DATABASE_URL: 'mysql://nova:hush@127.0.0.1:1x/nova' }, 2, ['database.url', 'mysql://user:password@host']],
  ])('sees why nova up with %o did not start, once and without its password', async (settings, code, says) => {
    cloud = await Cloud.open('embedded', { NOVA_COMPUTE_DRIVER: 'fake', ...settings })
    const ran = await cloud.nova('up')
    if (cloud.env.NOVA_STATE_DIR !== cloud.stateDir)
      rmSync(cloud.env.NOVA_STATE_DIR ?? '', { recursive: true, force: true })
    expect(ran.code).toBe(code)
    for (const said of says) expect(ran.stderr.split(said)).toHaveLength(2)
    expect(ran.stderr + cloud.log()).not.toContain('hush')
  })
  test('is told in one line that standard output is full', async () => {
    cloud = await Cloud.open('embedded')
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [resolve('bin/run.js'), 'config', 'docs'], {
      stdio: ['ignore', full, 'pipe'],
    })
    closeSync(full)
    const [said, [code]] = await Promise.all([text(child.stderr!), once(child, 'close')])
    expect({ said, code }).toEqual({
      said: 'nova: The answer cannot be written: no space left on device, write.\n',
      code: 1,
    })
  })
})
