import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hostIdentity } from '../../../src/core/agent/identity.ts'
import { launch } from '../../../src/core/base/exec.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { temporaryDirectory } from '../compute/rig.ts'

test('a host keeps its identity over restarts, for nobody else to read', async () => {
  const dir = join(await temporaryDirectory(), 'state')
  const first = await hostIdentity(dir, systemIds)
  first.release()
  const second = await hostIdentity(dir, systemIds)
  second.release()
  expect(second.hostId).toBe(first.hostId)
  expect((await stat(join(dir, 'host-id'))).mode & 0o777).toBe(0o600)
  expect((await readFile(join(dir, 'host-id'), 'utf8')).trim()).toBe(first.hostId)
})

test('two hosts have two', async () => {
  const [one, two] = [
    await hostIdentity(await temporaryDirectory(), systemIds),
    await hostIdentity(await temporaryDirectory(), systemIds),
  ]
  expect(one.hostId).not.toBe(two.hostId)
})

test('a second daemon on the same state directory is refused, and told by whom', async () => {
  const dir = await temporaryDirectory()
  const { release } = await hostIdentity(dir, systemIds)
  await expect(hostIdentity(dir, systemIds)).rejects.toThrow(`process ${process.pid}`)
  release()
  ;(await hostIdentity(dir, systemIds)).release()
})

test('a daemon that was killed, or whose number another process has now, holds nothing', async () => {
  const dir = await temporaryDirectory()
  const other = await launch('sleep', ['60'], { stdio: 'ignore' })
  await writeFile(join(dir, 'compute.pid'), `${other.pid} 1\n`)
  ;(await hostIdentity(dir, systemIds)).release()
  other.kill('SIGKILL')
})

test('a broken identity is not replaced by a new one', async () => {
  const dir = await temporaryDirectory()
  await writeFile(join(dir, 'host-id'), '\n')
  await expect(hostIdentity(dir, systemIds)).rejects.toThrow('does not hold this host')
  expect(await readFile(join(dir, 'host-id'), 'utf8')).toBe('\n')
})
