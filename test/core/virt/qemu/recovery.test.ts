import { existsSync, watch } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../../../src/core/base/clock.ts'
import type { Driver, Guest } from '../../../../src/core/virt/driver.ts'
import { machineFiles } from '../../../../src/core/virt/qemu/arguments.ts'
import { readConsole, trimConsole } from '../../../../src/core/virt/qemu/console.ts'
import { guestPaths, withShortPath } from '../../../../src/core/virt/qemu/paths.ts'
import { findMachine, findMachines, killMachine, startMachine } from '../../../../src/core/virt/qemu/process.ts'
import { connectQmp } from '../../../../src/core/virt/qemu/qmp.ts'
import type { DaemonOrder } from '../../../kit/driver-daemon.ts'
import { aGuest, boots, harnesses, killedDaemon, open, printed } from '../harness.ts'

let stateDir: string
beforeEach(async () => {
  // Longer than a socket's path may be.
  stateDir = join(
    await mkdtemp(join(tmpdir(), 'nova-recovery-')),
    'a-state-directory-with-a-rather-long-name'.repeat(2),
  )
  await mkdir(stateDir, { recursive: true })
})
afterEach(() => rm(join(stateDir, '..'), { recursive: true, force: true }))

test('a process whose number stands in a pid file by chance is never touched', async () => {
  const paths = guestPaths(stateDir, aGuest().id)
  await mkdir(paths.dir, { recursive: true })
  await writeFile(paths.pid, String(process.pid))
  expect(await findMachine(stateDir, paths.dir.slice(-36))).toBeUndefined()
  await killMachine(process.pid, paths, systemClock)
})

test('a console that has grown large loses its older part', async () => {
  const path = join(stateDir, 'console.log')
  await trimConsole(path)
  await writeFile(path, `${'old line\n'.repeat(1_000_000)}the last line\n`)
  await trimConsole(path)
  expect((await stat(path)).size).toBe(1 << 20)
  expect(await readConsole(path, 2)).toBe('old line\nthe last line\n')
})

const onQemu = harnesses.filter(({ name }) => name === 'qemu')

describe.each(onQemu)('a machine of $name whose daemon was killed', { timeout: 120_000 }, (harness) => {
  let driver: Driver | undefined
  const order = (...actions: DaemonOrder['actions']): DaemonOrder => ({ options: harness.options(stateDir), actions })
  const made = (guest: Guest): DaemonOrder['actions'][number] => ['createDisk', guest, harness.image]
  const daemon = async () => {
    driver = await open(harness, stateDir)
    return driver
  }
  /** Resolves when the guest's directory holds this file. */
  const appeared = (guest: Guest, name: keyof ReturnType<typeof guestPaths>, suffix = '') => {
    const path = `${guestPaths(stateDir, guest.id)[name]}${suffix}`
    return new Promise<void>((resolve) => {
      const watcher = watch(guestPaths(stateDir, guest.id).dir, () => {
        if (!existsSync(path)) return
        watcher.close()
        resolve()
      })
      if (existsSync(path)) resolve(watcher.close())
    })
  }

  afterEach(async () => {
    driver ??= await open(harness, stateDir)
    for (const { id } of await driver.list()) await driver.destroy(id)
    await driver.close()
    driver = undefined
    expect((await findMachines(stateDir)).size).toBe(0)
  })

  test('while it started is taken up, and not started a second time', async () => {
    const guest = aGuest()
    await killedDaemon(order(made(guest), ['start', guest]), 'doing start', () => appeared(guest, 'pid'))
    const before = await findMachines(stateDir)
    expect([...before.keys()]).toEqual([guest.id])
    const next = await daemon()
    await next.start(guest)
    expect(await findMachines(stateDir)).toEqual(before)
    expect(await next.power(guest.id)).toBe('RUNNING')
    await printed(next, guest.id, 'GUEST-READY')
  })

  test('while it was suspended keeps its memory', async () => {
    const guest = aGuest()
    await killedDaemon(order(made(guest), ['start', guest], ['suspend', guest.id]), 'doing suspend', () =>
      appeared(guest, 'memory', '.part'),
    )
    const next = await daemon()
    expect(['RUNNING', 'PAUSED', 'SUSPENDED']).toContain(await next.power(guest.id))
    await next.suspend(guest.id)
    expect(await next.power(guest.id)).toBe('SUSPENDED')
    await next.resume(guest)
    await printed(next, guest.id, 'GUEST-READY')
    expect(await boots(next, guest.id)).toBe(1)
    expect(existsSync(guestPaths(stateDir, guest.id).memory)).toBe(false)
  })

  test('while it was resumed keeps its memory', async () => {
    const guest = aGuest()
    const actions = order(made(guest), ['start', guest], ['suspend', guest.id], ['resume', guest])
    await killedDaemon(actions, 'doing resume', () => appeared(guest, 'pid'))
    const next = await daemon()
    await next.resume(guest)
    await next.resume(guest)
    expect(await next.power(guest.id)).toBe('RUNNING')
    await printed(next, guest.id, 'GUEST-READY')
    expect(await boots(next, guest.id)).toBe(1)
    expect((await findMachines(stateDir)).size).toBe(1)
  })

  /** A suspend up to the moment when QEMU has given all of its memory; `file` is where it goes, or nowhere. */
  async function handOver(guest: Guest, file: string | undefined): Promise<void> {
    const paths = guestPaths(stateDir, guest.id)
    const qmp = await connectQmp(paths.qmp, { clock: systemClock, timeoutMs: 5000 })
    const chunks: Buffer[] = []
    const server = createServer((socket) => socket.on('data', (chunk) => chunks.push(chunk)))
    await withShortPath(paths.memorySocket, async (path) => {
      await new Promise<void>((resolve) => server.listen({ path, writableAll: true }, resolve))
      await qmp.execute('stop')
      await qmp.execute('migrate', { uri: 'unix:memory.sock' })
      await vi.waitFor(async () => expect(await qmp.execute('query-migrate')).toMatchObject({ status: 'completed' }), {
        timeout: 20_000,
      })
      await new Promise((resolve) => server.close(resolve))
    })
    if (file) await writeFile(file, Buffer.concat(chunks))
    qmp.close()
    await qmp.closed
  }

  test('after its memory was saved and before it ended: the saved memory counts', async () => {
    const guest = aGuest()
    const first = await daemon()
    await first.createDisk(guest, harness.image)
    await first.start(guest)
    await first.close()
    await handOver(guest, guestPaths(stateDir, guest.id).memory)
    const [before] = (await findMachines(stateDir)).values()
    const next = await daemon()
    await next.resume(guest)
    const [after] = (await findMachines(stateDir)).values()
    expect(after).not.toBe(before)
    await printed(next, guest.id, 'GUEST-READY')
    expect(await boots(next, guest.id)).toBe(1)
  })

  test('after its memory was sent and lost is suspended anew', async () => {
    const guest = aGuest()
    const first = await daemon()
    await first.createDisk(guest, harness.image)
    await first.start(guest)
    await first.close()
    await handOver(guest, undefined)
    const next = await daemon()
    await next.suspend(guest.id)
    expect(await next.power(guest.id)).toBe('SUSPENDED')
    await next.resume(guest)
    await printed(next, guest.id, 'GUEST-READY')
    expect(await boots(next, guest.id)).toBe(1)
  })

  test('refuses a second machine even to one who looks nowhere', async () => {
    const guest = aGuest()
    const next = await daemon()
    await next.createDisk(guest, harness.image)
    await next.start(guest)
    const before = await findMachines(stateDir)
    const [pid = 0] = before.values()
    const [binary = '', ...args] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1)
    const paths = guestPaths(stateDir, guest.id)
    const record = JSON.parse(await readFile(paths.record, 'utf8'))
    const files = machineFiles({ ...record, hasDisk: record.disk, paths, resumes: false })
    const second = await startMachine([binary, args], files, paths)
    await vi.waitFor(() => expect(existsSync(`/proc/${second}`)).toBe(false), 10_000)
    expect(await findMachines(stateDir)).toEqual(before)
    expect(await next.power(guest.id)).toBe('RUNNING')
  })

  test('that hangs is destroyed all the same', async () => {
    const guest = aGuest()
    const next = await daemon()
    await next.createDisk(guest, harness.image)
    await next.start(guest)
    const [pid] = (await findMachines(stateDir)).values()
    process.kill(pid ?? 0, 'SIGSTOP')
    await next.destroy(guest.id)
    expect(await next.power(guest.id)).toBe('NOSTATE')
  })

  test('that hangs keeps no daemon from starting, and is taken up when it answers', async () => {
    const guest = aGuest()
    const first = await daemon()
    await first.createDisk(guest, harness.image)
    await first.start(guest)
    await first.close()
    const [pid = 0] = (await findMachines(stateDir)).values()
    process.kill(pid, 'SIGSTOP')
    const begun = performance.now()
    const next = await daemon()
    expect(performance.now() - begun).toBeLessThan(8_000)
    expect(await next.power(guest.id)).toBe('RUNNING')
    process.kill(pid, 'SIGCONT')
    await next.pause(guest.id)
    expect(await next.power(guest.id)).toBe('PAUSED')
  })

  test('that was killed itself is told of as shut down', async () => {
    const guest = aGuest()
    const next = await daemon()
    const told: unknown[] = []
    next.onPower((change) => told.push(change))
    await next.createDisk(guest, harness.image)
    await next.start(guest)
    const [pid] = (await findMachines(stateDir)).values()
    process.kill(pid ?? 0, 'SIGKILL')
    await vi.waitFor(() => expect(told).toEqual([{ id: guest.id, power: 'SHUTDOWN' }]))
  })

  test('and whose guest was half removed leaves nothing', async () => {
    const guest = aGuest()
    const { dir } = guestPaths(stateDir, guest.id)
    await mkdir(`${dir}.gone`, { recursive: true })
    await writeFile(join(`${dir}.gone`, 'disk.qcow2'), '')
    const next = await daemon()
    expect(existsSync(`${dir}.gone`)).toBe(false)
    expect(await next.list()).toEqual([])
  })

  test('a start that is taken back leaves no machine, and can be done again', async () => {
    const guest = aGuest()
    const next = await daemon()
    await next.createDisk(guest, harness.image)
    const taken = new AbortController()
    const start = next.start(guest, taken.signal)
    await appeared(guest, 'pid')
    taken.abort(new Error('taken back'))
    await start.catch((e: Error) => expect(e.message).toBe('taken back'))
    if ((await next.power(guest.id)) === 'SHUTDOWN') expect((await findMachines(stateDir)).size).toBe(0)
    await next.start(guest)
    expect(await next.power(guest.id)).toBe('RUNNING')
  })
})
