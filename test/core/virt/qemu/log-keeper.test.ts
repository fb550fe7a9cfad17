import { readdirSync, readFileSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { readConsole } from '../../../../src/core/virt/qemu/console.ts'
import { LogKeeper } from '../../../../src/core/virt/qemu/log-keeper.ts'
import { type GuestPaths, guestPaths, machinesLock } from '../../../../src/core/virt/qemu/paths.ts'
import { findMachine, startMachine } from '../../../../src/core/virt/qemu/process.ts'
import { aGuest, harnesses, killedDaemon, open } from '../harness.ts'

let stateDir: string
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nova-keeper-'))
})
afterEach(() => rm(stateDir, { recursive: true, force: true }))

/** The processes that keep the logs of this host, each the first of its group. */
const keepers = (): number[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      return words[0] === 'sh' && words.includes(machinesLock(stateDir)) ? [Number(pid)] : []
    } catch {
      return []
    }
  })

const patient = { timeout: 10_000 }
const none = () => vi.waitFor(() => expect(keepers()).toEqual([]), patient)
/** The one keeper that there is at last. */
const theOne = () =>
  vi.waitFor(() => {
    const found = keepers()
    expect(found).toHaveLength(1)
    return found[0] as number
  }, patient)

/** A program in place of a guest's machine, which appends to its logs and ends with the test. */
async function machine(): Promise<GuestPaths & { end: () => void }> {
  const paths = guestPaths(stateDir, aGuest().id)
  await mkdir(paths.dir, { recursive: true })
  const files = [{ use: 'console', path: paths.console, flags: 'a' }] as const
  const pid = await startMachine(['sh', ['-c', 'echo hello >&3; exec sleep 100']], files, paths)
  const end = () => {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It was ended before.
    }
  }
  onTestFinished(end)
  await vi.waitFor(async () => expect(await readConsole(paths.console)).toBe('hello\n'))
  return { ...paths, end }
}

const large = `${'old line\n'.repeat(1_000_000)}the last line\n`

test('logs that have grown large lose their older part while a machine lives, and the keeper ends with the last one', async () => {
  const paths = await machine()
  const keeper = new LogKeeper(stateDir, 0.05)
  await keeper.ensure()
  await appendFile(paths.console, large)
  await appendFile(paths.log, large)
  await vi.waitFor(async () => {
    for (const path of [paths.console, paths.log]) expect((await stat(path)).size).toBe(1 << 20)
  })
  expect(await readConsole(paths.console, 2)).toBe('old line\nthe last line\n')
  await appendFile(paths.console, 'and on\n')
  expect(await readConsole(paths.console, 1)).toBe('and on\n')
  await theOne()
  paths.end()
  await none()
  // And begins again with the next one.
  await machine()
  await keeper.ensure()
  await theOne()
  await keeper.end()
  await none()
})

test('there is one keeper, however many lives of a daemon want one', async () => {
  await machine()
  const lives = [1, 2, 3].map(() => new LogKeeper(stateDir, 0.05))
  await Promise.all(lives.flatMap((keeper) => [keeper.ensure(), keeper.ensure()]))
  await theOne()
  for (const keeper of lives) await keeper.end()
  await none()
})

test('a keeper whose state directory is removed ends', async () => {
  const { end } = await machine()
  await new LogKeeper(stateDir, 0.05).ensure()
  await theOne()
  await rm(stateDir, { recursive: true })
  await none()
  end()
})

const onQemu = harnesses.filter(({ name }) => name === 'qemu')

describe.each(onQemu)('the keeper of a host with $name', { timeout: 120_000 }, (harness) => {
  const guest = aGuest()
  afterEach(async () => {
    const last = await open(harness, stateDir)
    await last.destroy(guest.id)
    await last.close()
  })

  test('outlives a daemon that is killed, and goes where the last guest has gone', async () => {
    const actions: Parameters<typeof killedDaemon>[0]['actions'] = [
      ['createDisk', guest, harness.image],
      ['start', guest],
    ]
    await killedDaemon({ options: harness.options(stateDir), actions })
    const keeper = await theOne()
    const driver = await open(harness, stateDir)
    expect(await findMachine(stateDir, guest.id)).toBeDefined()
    expect(keepers()).toEqual([keeper])
    process.kill(-keeper, 'SIGKILL')
    await none()
    await driver.reboot(guest, 'hard', 0)
    await theOne()
    await driver.destroy(guest.id)
    await driver.close()
    await none()
  })
})
