import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../../../src/core/base/clock.ts'
import { exec, launch } from '../../../../src/core/base/exec.ts'
import { silentLog } from '../../../../src/core/base/log.ts'
import type { Driver, Guest } from '../../../../src/core/virt/driver.ts'
import { guestLimits, settingsOf } from '../../../../src/core/virt/qemu/cgroup-limits.ts'
import { controllers } from '../../../../src/core/virt/qemu/cgroup-tree.ts'
import { Cgroups, cgroupName, readCgroupAnswer } from '../../../../src/core/virt/qemu/cgroups.ts'
import { openQemu } from '../../../../src/core/virt/qemu/driver.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { entering, findMachine, startMachine } from '../../../../src/core/virt/qemu/process.ts'
import { QemuImg } from '../../../../src/core/virt/qemu/qemu-img.ts'
import { GuestUsers } from '../../../../src/core/virt/qemu/users.ts'
import { missing } from '../../../kit/missing.ts'
import { aGuest, guestUids, harnesses, killedDaemon, open } from '../harness.ts'

let stateDir: string
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'nova-cgroups-'))
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

const mib = 1 << 20

test('a guest has what it was given and what QEMU needs for itself', () => {
  const small = { vcpus: 1, memoryMb: 128, disks: [] }
  expect(guestLimits(small, 'kvm')).toEqual({ memoryBytes: (128 + 256 + 7) * mib, pids: 132, cpus: 1 })
  expect(guestLimits(small, 'tcg').memoryBytes).toBe((128 + 256 + 7 + 32) * mib)
  const volume = { id: 'v', path: '/dev/v', format: 'raw' as const }
  const large = { vcpus: 8, memoryMb: 16_384, disks: [volume, volume] }
  expect(guestLimits(large, 'kvm')).toEqual({ memoryBytes: (16_384 + 256 + 64 + 820) * mib, pids: 160, cpus: 8 })
})

test('limits have the names and the bounds of their hierarchy', () => {
  const limits = { memoryBytes: 64 * mib, pids: 70, cpus: 2 }
  const pairs = (version: 1 | 2, of = limits) =>
    Object.fromEntries(settingsOf(version, controllers, of).map(({ file, value }) => [file, value]))
  expect(pairs(1)).toEqual({
    'memory.limit_in_bytes': '67108864',
    'memory.memsw.limit_in_bytes': '134217728',
    'pids.max': '70',
    'cpu.shares': '2048',
  })
  expect(pairs(2)).toEqual({
    'memory.max': '67108864',
    'memory.swap.max': '67108864',
    'pids.max': '70',
    'cpu.weight': '200',
  })
  expect(pairs(1, { ...limits, cpus: 512 })['cpu.shares']).toBe('262144')
  expect(pairs(2, { ...limits, cpus: 512 })['cpu.weight']).toBe('10000')
})

/** A machine whose /proc says this, with its cgroups in a directory. */
function machine(mounted: string, cgroup: string) {
  const at = (name: string) => join(stateDir, name)
  writeFileSync(at('mountinfo'), `29 22 0:25 / ${at('tree')} ${mounted}\n`)
  writeFileSync(at('cgroup'), cgroup)
  return { tree: at('tree'), open: () => new Cgroups({ stateDir, log: silentLog, clock: systemClock, proc: stateDir }) }
}

describe('a service of systemd on cgroup v2, as a directory', () => {
  test('has a cgroup for each guest at the top, and sets limits again after they were lifted', async () => {
    const { tree, open: cgroups } = machine('rw - cgroup2 cgroup2 rw', '0::/nova.service\n')
    const guests = join(tree, 'nova-guests')
    mkdirSync(guests, { recursive: true })
    writeFileSync(join(tree, 'cgroup.controllers'), 'cpu memory pids\n')
    for (const dir of [tree, guests]) writeFileSync(join(dir, 'cgroup.subtree_control'), '')
    const opened = cgroups()
    // The files of a real cgroup go with it; these stay.
    expect(await opened.open()).toEqual({ controllers: ['memory', 'pids', 'cpu'], why: '' })
    expect(await readCgroupAnswer(stateDir)).toEqual({ controllers: ['memory', 'pids', 'cpu'], why: '' })

    const paths = guestPaths(stateDir, aGuest().id)
    mkdirSync(paths.dir, { recursive: true })
    const limits = { memoryBytes: 400 * mib, pids: 132, cpus: 1 }
    const [procs = '', ...more] = await opened.make(paths, limits)
    expect(more).toEqual([])
    const dir = dirname(procs)
    expect(basename(procs)).toBe('cgroup.procs')
    expect(dirname(dir)).toBe(guests)
    expect(basename(dir)).toMatch(new RegExp(`^nova-${basename(paths.dir)}-[0-9a-f]{8}$`))
    const set = () => ['memory.max', 'pids.max', 'cpu.weight'].map((name) => readFileSync(join(dir, name), 'utf8'))
    expect(set()).toEqual([String(400 * mib), '132', '100'])

    writeFileSync(join(dir, 'memory.max'), 'max')
    const later = cgroups()
    await later.open()
    await later.renew(paths, limits)
    expect(set()[0]).toBe(String(400 * mib))
    for (const name of readdirSync(dir)) rmSync(join(dir, name))
    expect(await later.remove(paths)).toEqual({ outOfMemory: false })
    expect(existsSync(dir)).toBe(false)
    expect(existsSync(paths.cgroups)).toBe(false)
  })

  test('is told what controllers there are not', async () => {
    const { tree, open: cgroups } = machine('rw - cgroup2 cgroup2 rw', '0::/nova.service\n')
    mkdirSync(join(tree, 'nova-guests'), { recursive: true })
    writeFileSync(join(tree, 'cgroup.controllers'), 'pids\n')
    for (const dir of ['.', 'nova-guests']) writeFileSync(join(tree, dir, 'cgroup.subtree_control'), 'pids\n')
    expect(await cgroups().open()).toEqual({
      controllers: ['pids'],
      why: `memory, cpu: ${tree} has no such controllers`,
    })
  })
})

test('only cgroups with the name of the guest are removed, whatever its directory says', async () => {
  const paths = guestPaths(stateDir, aGuest().id)
  const own = join(stateDir, cgroupName(paths))
  // Of somebody else, and of the guest on a host whose state directory this one was copied from.
  const others = ['somebody', `nova-${basename(paths.dir)}-12345678`].map((name) => join(stateDir, name))
  for (const dir of [paths.dir, own, ...others]) mkdirSync(dir, { recursive: true })
  for (const dir of others) writeFileSync(join(dir, 'cgroup.procs'), `${process.pid}\n`)
  writeFileSync(paths.cgroups, [...others, own, `/no/such/${basename(own)}`, ''].join('\n'))
  const cgroups = new Cgroups({ stateDir, log: silentLog, clock: systemClock })
  expect(await cgroups.processesIn(paths)).toEqual([])
  expect(await cgroups.remove(paths)).toEqual({ outOfMemory: false })
  expect([own, ...others].map((dir) => existsSync(dir))).toEqual([false, true, true])
})

/** Where a process is, by controller, and below which directory that is. */
function membership(pid: number | 'self'): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
  return new Map(
    lines.flatMap((line) => {
      const [, names = '', own = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
      return (names || 'v2').split(',').map((name) => [name, own] as const)
    }),
  )
}

/** The cgroups that can be had on this machine, and where this process is in each. */
const here = mkdtempSync(join(tmpdir(), 'nova-cgroups-'))
const trial = new Cgroups({ stateDir: here, log: silentLog, clock: systemClock })
const held = await trial.open()
await trial.close()
rmSync(here, { recursive: true })
const v1 = ['memory', 'pids', 'cpu'].every((name) => membership('self').has(name)) && held.why === ''
if (!v1) missing('cgroups', `cgroups of v1 are tried where this user may write to them; here: ${held.why || 'v2'}`)

describe.runIf(v1)('a program in real cgroups', () => {
  let cgroups: Cgroups
  let paths: ReturnType<typeof guestPaths>
  beforeEach(async () => {
    cgroups = new Cgroups({ stateDir, log: silentLog, clock: systemClock })
    await cgroups.open()
    onTestFinished(() => cgroups.close())
    paths = guestPaths(stateDir, aGuest().id)
    mkdirSync(paths.dir, { recursive: true })
  })

  test('is there before it is itself, and what it cannot enter ends it', async () => {
    const procs = await cgroups.make(paths, { memoryBytes: 256 * mib, pids: 64, cpus: 1 })
    const pid = await startMachine(['cat', ['/proc/self/cgroup']], [], paths, procs)
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false))
    const said = readFileSync(paths.log, 'utf8')
    for (const name of controllers) expect(said).toMatch(new RegExp(`:${name}:.*/nova-${basename(paths.dir)}-`))
    expect(await cgroups.remove(paths)).toEqual({ outOfMemory: false })
    for (const file of procs) expect(existsSync(dirname(file))).toBe(false)
    const late = await launch(...entering(procs, 'true', []), { stdio: 'ignore' })
    expect((await once(late, 'exit'))[0]).toBe(127)
  })

  test('looks at images with all others, and what cannot be entered is no verdict on an image', async () => {
    const { stdout } = await exec(...cgroups.image('cat', ['/proc/self/cgroup']))
    for (const name of controllers) expect(stdout).toMatch(new RegExp(`:${name}:.*/nova-images-[0-9a-f]{8}\n`))
    const image = join(stateDir, 'image')
    await exec('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M'])
    const qemuImg = new QemuImg('qemu-img', { users: new GuestUsers(stateDir, guestUids), cgroups })
    expect(await qemuImg.check(image)).toBeUndefined()
    const [, words] = cgroups.image('true', [])
    rmdirSync(dirname(words[3] ?? ''))
    await expect(qemuImg.check(image)).rejects.toThrow('cgroup.procs')
  })

  test('that takes more memory than it may is ended, which is told', async () => {
    const procs = await cgroups.make(paths, { memoryBytes: 32 * mib, pids: 64, cpus: 1 })
    const hog = await launch(...entering(procs, 'tail', ['/dev/zero']), { stdio: 'ignore' })
    expect((await once(hog, 'exit'))[1]).toBe('SIGKILL')
    expect(await cgroups.remove(paths)).toEqual({ outOfMemory: true })
  })

  test('with more threads than it may cannot have another', async () => {
    const procs = await cgroups.make(paths, { memoryBytes: 64 * mib, pids: 2, cpus: 1 })
    const many = await launch(...entering(procs, 'sh', ['-c', 'sleep 0 & sleep 0 & sleep 0 & wait']), {
      stdio: 'ignore',
    })
    expect((await once(many, 'exit'))[0]).not.toBe(0)
    await cgroups.remove(paths)
  })
})

const onQemu = harnesses.filter(({ name }) => name === 'qemu')

describe.runIf(v1).each(onQemu)('a guest of $name in real cgroups', { timeout: 120_000 }, (harness) => {
  let driver: Driver | undefined
  let guest: Guest
  beforeEach(() => {
    guest = aGuest({ size: { vcpus: 2, memoryMb: 128, diskGb: 0 } })
  })
  afterEach(async () => {
    driver ??= await open(harness, stateDir)
    await driver.destroy(guest.id)
    await driver.close()
    driver = undefined
  })
  const dirs = () => readFileSync(guestPaths(stateDir, guest.id).cgroups, 'utf8').trim().split('\n')
  const begin = async () => {
    driver = await open(harness, stateDir)
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    return driver
  }

  test('has its limits, and leaves nothing when it is stopped or deleted', async () => {
    const running = await begin()
    const [memory = '', pids = '', cpu = '', ...more] = dirs()
    expect(more).toEqual([])
    const pid = (await findMachine(stateDir, guest.id)) ?? 0
    const [mine, its] = [membership('self'), membership(pid)]
    for (const name of controllers)
      expect(its.get(name)).toBe(`${mine.get(name)?.replace(/\/$/, '')}/${basename(memory)}`)
    for (const dir of [memory, pids, cpu])
      expect(readFileSync(join(dir, 'cgroup.procs'), 'utf8').trim()).toBe(String(pid))
    const read = (dir: string, name: string) => readFileSync(join(dir, name), 'utf8').trim()
    expect(read(memory, 'memory.limit_in_bytes')).toBe(String((128 + 256 + 7 + 32) * mib))
    expect(read(pids, 'pids.max')).toBe('136')
    expect(read(cpu, 'cpu.shares')).toBe('2048')
    expect((await running.resources()).cgroups).toEqual({ controllers: [...controllers], why: '' })
    await running.stop(guest.id, 0)
    expect([memory, pids, cpu].map((dir) => existsSync(dir))).toEqual([false, false, false])
    await running.start(guest)
    expect(dirs()).toEqual([memory, pids, cpu])
    // As where a person removes the guest's directory.
    rmSync(guestPaths(stateDir, guest.id).cgroups)
    await running.destroy(guest.id)
    expect([memory, pids, cpu].map((dir) => existsSync(dir))).toEqual([false, false, false])
  })

  test('is ended with all that is in them, whatever it looks like', async () => {
    const running = await begin()
    const procs = dirs().map((dir) => join(dir, 'cgroup.procs'))
    // As a machine would look that has changed its arguments.
    const hidden = await launch(...entering(procs, 'sleep', ['100']), { stdio: 'ignore' })
    const ended = once(hidden, 'exit')
    await vi.waitFor(() => {
      for (const file of procs) expect(readFileSync(file, 'utf8').split('\n')).toContain(String(hidden.pid))
    })
    await running.stop(guest.id, 0)
    expect((await ended)[1]).toBe('SIGKILL')
    for (const file of procs) expect(existsSync(dirname(file))).toBe(false)
  })

  test('keeps them over the death of its daemon, and loses them if it ends meanwhile', async () => {
    const order = (...actions: Parameters<typeof killedDaemon>[0]['actions']) =>
      killedDaemon({ options: harness.options(stateDir), actions })
    await order(['createDisk', guest, harness.image], ['start', guest])
    const before = dirs()
    const pid = (await findMachine(stateDir, guest.id)) ?? 0
    writeFileSync(join(before[1] as string, 'pids.max'), 'max')
    // Somebody else's, with such a name as ours.
    const other = join(dirname(before[1] as string), `nova-${aGuest().id}-00000000`)
    mkdirSync(other)
    onTestFinished(() => rmdirSync(other))
    driver = await open(harness, stateDir)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    expect(dirs()).toEqual(before)
    expect(readFileSync(join(before[1] as string, 'pids.max'), 'utf8').trim()).toBe('136')
    await driver.close()
    process.kill(pid, 'SIGKILL')
    await vi.waitFor(async () => expect(await findMachine(stateDir, guest.id)).toBeUndefined())
    expect(before.map((dir) => existsSync(dir))).toEqual([true, true, true])
    driver = await open(harness, stateDir)
    expect(before.map((dir) => existsSync(dir))).toEqual([false, false, false])
    expect(existsSync(other)).toBe(true)
    expect(await driver.power(guest.id)).toBe('SHUTDOWN')
  })

  test('that takes more memory than it may crashes, and its last words tell why', async () => {
    const running = await begin()
    const over = new Promise((resolve) => running.onPower(resolve))
    const [memory = ''] = dirs()
    const used = Number(readFileSync(join(memory, 'memory.usage_in_bytes'), 'utf8'))
    writeFileSync(join(memory, 'memory.limit_in_bytes'), String(used + mib))
    expect(await over).toEqual({ id: guest.id, power: 'CRASHED' })
    expect(await running.lastWords?.(guest.id)).toBe('the kernel ended it: it took more memory than its cgroup has')
    expect(existsSync(memory)).toBe(false)
    await running.start(guest)
    expect(await running.power(guest.id)).toBe('RUNNING')
  })

  test('runs without them where they are read-only, and the host says so', async () => {
    machine('ro - cgroup2 cgroup2 rw', '0::/nova.service\n')
    const said = vi.fn()
    driver = openQemu({
      ...{ stateDir, clock: systemClock, accelerator: 'tcg', cpuModel: '', proc: stateDir },
      uids: guestUids,
      log: { ...silentLog, warn: said },
    })
    await driver.init()
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    expect(existsSync(guestPaths(stateDir, guest.id).cgroups)).toBe(false)
    const why = `memory, pids, cpu: ${join(stateDir, 'tree')} is mounted read-only`
    expect(await readCgroupAnswer(stateDir)).toEqual({ controllers: [], why })
    expect(await driver.resources()).toMatchObject({ cgroups: { controllers: [], why } })
    expect(said).toHaveBeenCalledWith({ controllers: '', why }, 'guests run without some or all cgroups')
  })
})
