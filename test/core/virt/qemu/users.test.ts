import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { systemIds } from '../../../../src/core/base/ids.ts'
import type { Driver, Guest } from '../../../../src/core/virt/driver.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { findMachine } from '../../../../src/core/virt/qemu/process.ts'
import { GuestUsers } from '../../../../src/core/virt/qemu/users.ts'
import { missing } from '../../../kit/missing.ts'
import { aGuest, boots, guestUids, harnesses, open, printed } from '../harness.ts'

const isRoot = process.geteuid?.() === 0
if (!isRoot) missing('root', 'users of guests can be tried by root alone')

let stateDir: string
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'nova-users-'))
  mkdirSync(join(stateDir, 'instances'))
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

/** The uid that a guest's machine would be started under. */
async function uidOf(users: GuestUsers, id: string): Promise<number> {
  const paths = guestPaths(stateDir, id)
  const [program, words] = await users.guest(paths, [], 'qemu', ['-m', '1'])
  expect(program).toBe('setpriv')
  const uid = Number(/--reuid=(\d+)/.exec(words.join(' '))?.[1])
  expect(statSync(paths.run)).toMatchObject({ uid, gid: uid })
  return uid
}

test('a guest is of the same user as a daemon that is not root, or has no range', async () => {
  const { id } = aGuest()
  for (const range of isRoot ? [undefined, { base: 70_000, count: 0 }] : [guestUids]) {
    const command = await new GuestUsers(stateDir, range).guest(guestPaths(stateDir, id), [], 'qemu', ['-m', '1'])
    expect(command).toEqual(['qemu', ['-m', '1']])
  }
})

describe.runIf(isRoot)('guests of root', () => {
  const ids = () => Array.from({ length: 3 }, () => systemIds.uuid())

  test('have a uid each, also if they start at once, and keep it', async () => {
    const users = new GuestUsers(stateDir, { base: guestUids.base, count: 3 })
    const three = ids()
    const uids = await Promise.all(three.map((id) => uidOf(users, id)))
    expect([...uids].sort()).toEqual([1, 2, 3].map((n) => guestUids.base + n))
    const later = new GuestUsers(stateDir, { base: guestUids.base, count: 3 })
    expect(await Promise.all(three.map((id) => uidOf(later, id)))).toEqual(uids)
    await expect(uidOf(later, systemIds.uuid())).rejects.toThrow(/all 3 uids of guests are in use/)
    rmSync(guestPaths(stateDir, three[1] as string).dir, { recursive: true })
    expect(await uidOf(later, systemIds.uuid())).toBe(uids[1])
  })

  test('do not have the uid of a process of somebody else, even if it was theirs', async () => {
    const users = new GuestUsers(stateDir, { base: guestUids.base, count: 2 })
    const { id } = aGuest()
    const before = await uidOf(users, id)
    const stranger = spawn('sleep', ['60'], { uid: before, stdio: 'ignore' })
    onTestFinished(() => void stranger.kill('SIGKILL'))
    await once(stranger, 'spawn')
    expect(await uidOf(users, id)).not.toBe(before)
  })

  test('cannot be had where the uids are not to be had', async () => {
    await new GuestUsers(stateDir, guestUids).check()
    // The last uid of all is no uid: programs are told "no change" by it.
    await expect(new GuestUsers(stateDir, { base: 4_294_967_294, count: 1 }).check()).rejects.toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining('guests cannot run as uid 4294967295'),
    })
  })
})

const onQemu = isRoot ? harnesses.filter(({ name }) => name === 'qemu') : []

describe.each(onQemu)('a guest of root on $name', { timeout: 120_000 }, (harness) => {
  let driver: Driver
  let guest: Guest
  beforeEach(async () => {
    driver = await open(harness, stateDir)
    guest = aGuest({ size: { vcpus: 1, memoryMb: 128, diskGb: 1 } })
    await driver.createDisk(guest, harness.image)
  })
  afterEach(async () => {
    await driver.destroy(guest.id)
    await driver.close()
  })

  const pid = async () => (await findMachine(stateDir, guest.id)) ?? 0
  const status = async (field: string) =>
    new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${await pid()}/status`, 'utf8'))?.[1]?.trim()

  test('is nobody who could do anything, in no group, and gains nothing by any program', async () => {
    await driver.start(guest)
    const uid = statSync(guestPaths(stateDir, guest.id).run).uid
    expect(uid).toBeGreaterThan(guestUids.base)
    expect((await status('Uid'))?.split('\t')).toEqual(Array(4).fill(String(uid)))
    expect((await status('Gid'))?.split('\t')).toEqual(Array(4).fill(String(uid)))
    expect(await status('Groups')).toBe('')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(await status(set)).toMatch(/^0+$/)
    expect(await status('NoNewPrivs')).toBe('1')
  })

  test('reads and writes nothing of this host, its own record and other guests included', async () => {
    await driver.start(guest)
    const other = aGuest()
    await driver.createDisk(other, harness.image)
    const secret = join(stateDir, 'bus.password')
    writeFileSync(secret, 'secret')
    chmodSync(secret, 0o644)
    const uid = statSync(guestPaths(stateDir, guest.id).run).uid
    const paths = guestPaths(stateDir, guest.id)
    // From where its machine is, which is as near as it comes; and from anywhere.
    const tried = [
      paths.record,
      paths.disk,
      paths.console,
      paths.configDrive,
      guestPaths(stateDir, other.id).record,
      secret,
    ]
    const names = ['guest.json', 'disk.qcow2', '../../bus.password', `../${other.id}/guest.json`]
    const script = `${[...tried, ...names].map((path) => `cat '${path}' && echo READ; : >>'${path}' && echo WRITTEN`).join('\n')}\n: >new && echo WRITTEN\nls . .. && echo READ\ntrue`
    const shell = spawn('sh', ['-c', script], { uid, gid: uid, cwd: paths.dir, stdio: ['ignore', 'pipe', 'ignore'] })
    const printedBy = (await shell.stdout.toArray()).join('')
    expect(printedBy).toBe('')
    await driver.destroy(other.id)
  })

  test('that broke out leads its daemon nowhere by a link', async () => {
    await driver.start(guest)
    const paths = guestPaths(stateDir, guest.id)
    const elsewhere = join(stateDir, 'elsewhere.sock')
    const server = createServer(() => expect.unreachable('it was led to another socket')).listen(elsewhere)
    onTestFinished(() => void server.close())
    await driver.close()
    rmSync(paths.qmp)
    symlinkSync(elsewhere, paths.qmp)
    driver = await open(harness, stateDir)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    await driver.destroy(guest.id)
    expect(await driver.power(guest.id)).toBe('NOSTATE')
    expect(existsSync(elsewhere)).toBe(true)
  })

  test('that sends more than its memory is not saved', async () => {
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    const { record, memory } = guestPaths(stateDir, guest.id)
    const known = JSON.parse(readFileSync(record, 'utf8'))
    // A guest so small that nothing of it may come; what comes is as much as that of any.
    writeFileSync(record, JSON.stringify({ ...known, hardware: { ...known.hardware, memoryMb: -204 } }))
    await expect(driver.suspend(guest.id)).rejects.toMatchObject({
      message: expect.stringContaining('QEMU sends more than the memory of the guest'),
    })
    expect([existsSync(memory), existsSync(`${memory}.part`)]).toEqual([false, false])
    expect(await driver.power(guest.id)).toBe('RUNNING')
    writeFileSync(record, JSON.stringify(known))
    await driver.suspend(guest.id)
    expect(await driver.power(guest.id)).toBe('SUSPENDED')
  })

  test('keeps its memory over suspend and resume, and its machine a daemon that ends', async () => {
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    await driver.suspend(guest.id)
    await driver.resume(guest)
    const before = await pid()
    await driver.close()
    driver = await open(harness, stateDir)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    expect(await pid()).toBe(before)
    expect(await status('Uid')).not.toMatch(/^0\t/)
    expect(await boots(driver, guest.id)).toBe(1)
    await driver.stop(guest.id, 0)
    expect(existsSync(`/proc/${before}`)).toBe(false)
  })

  test('that an older nova has started as root is taken up, suspended, and resumed as a user', async () => {
    await driver.close()
    const { guestUids: _, ...options } = harness.options(stateDir)
    const older = { ...harness, options: () => options }
    driver = await open(older, stateDir)
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    expect(await status('Uid')).toMatch(/^0\t/)
    await driver.close()
    // Where its sockets were.
    const paths = guestPaths(stateDir, guest.id)
    for (const name of ['qmp.sock', 'serial.sock']) await rename(join(paths.run, name), join(paths.dir, name))
    rmSync(paths.run, { recursive: true })
    driver = await open(harness, stateDir)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    await driver.suspend(guest.id)
    await driver.resume(guest)
    expect(await status('Uid')).not.toMatch(/^0\t/)
    expect(await boots(driver, guest.id)).toBe(1)
  })
})
