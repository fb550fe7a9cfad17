import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../../../src/core/base/clock.ts'
import { silentLog } from '../../../../src/core/base/log.ts'
import type { Driver, GuestPower } from '../../../../src/core/virt/driver.ts'
import { openQemu } from '../../../../src/core/virt/qemu/driver.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { findMachines } from '../../../../src/core/virt/qemu/process.ts'
import { failingKvm, type GuestEnd } from '../../../kit/failing-kvm.ts'
import { qemu } from '../../../kit/qemu.ts'
import { aGuest, printed } from '../harness.ts'

const tiny = await qemu()

describe.runIf(tiny)('a KVM that answers the probe and fails under a guest', { timeout: 120_000 }, () => {
  const image = { disk: undefined, kernel: tiny?.kernel ?? '', ramdisk: tiny?.ramdisk }
  let dir: string
  let stateDir: string
  let file: string
  let driver: Driver | undefined
  let told: GuestPower[]
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nova-rescue-'))
    stateDir = join(dir, 'state')
    file = join(dir, 'accelerator.json')
    told = []
    await writeFile(join(dir, 'kvm'), '')
    await mkdir(stateDir)
  })
  afterEach(async () => {
    for (const { id } of (await driver?.list()) ?? []) await driver?.destroy(id)
    await driver?.close()
    driver = undefined
    expect((await findMachines(stateDir)).size).toBe(0)
    await rm(dir, { recursive: true, force: true })
  })

  /** A host of such a machine. */
  const host = async (end: GuestEnd, accelerator: 'auto' | 'kvm' = 'auto'): Promise<Driver> => {
    const qemuBinary = await failingKvm(dir, 'runs', end)
    const opened = openQemu({
      stateDir,
      log: silentLog,
      clock: systemClock,
      accelerator,
      cpuModel: '',
      qemuBinary,
      acceleratorFile: file,
      kvmDevice: join(dir, 'kvm'),
    })
    driver = opened
    opened.onPower((change) => told.push(change))
    await opened.init()
    return opened
  }
  const memory = async () => JSON.parse(await readFile(file, 'utf8')) as { accelerator: string; why: string }
  const runs = async () => (await readFile(join(dir, 'runs'), 'utf8')).trim().split('\n')

  test.each<[GuestEnd, string]>([
    ['stands still', 'KVM internal error. Suberror: 1, emulation failure'],
    ['ends', 'KVM internal error. Suberror: 1, emulation failure'],
    ['does not start', 'error: failed to set MSR 0x10a to 0x69'],
  ])('the guest %s: it runs under TCG, and the machine remembers why', async (end, words) => {
    const here = await host(end)
    expect(await here.resources()).toMatchObject({ accelerator: 'kvm' })
    const guest = aGuest()
    await here.createDisk(guest, image)
    await here.start(guest)
    await printed(here, guest.id, 'GUEST-READY')
    expect(await here.power(guest.id)).toBe('RUNNING')
    const why = `KVM cannot run guests here: ${words}`
    expect(await memory()).toMatchObject({ accelerator: 'tcg', why })
    expect(await here.resources()).toMatchObject({ accelerator: 'tcg', acceleratorWhy: why })
    expect(await readFile(guestPaths(stateDir, guest.id).kvmLog, 'utf8')).toContain(words.split(',')[0])
    // Nobody was told that it is anything but running.
    expect(told.filter(({ power }) => power !== 'RUNNING')).toEqual([])
    expect(await runs()).toEqual(['probe', 'kvm', 'tcg'])
    // The next guest is spared.
    const next = aGuest()
    await here.createDisk(next, image)
    await here.start(next)
    expect(await runs()).toEqual(['probe', 'kvm', 'tcg', 'tcg'])
  })

  test('all guests that ran are started again, one for each', async () => {
    const here = await host('stands still')
    const guests = [aGuest(), aGuest()]
    await Promise.all(guests.map((guest) => here.createDisk(guest, image)))
    await Promise.all(guests.map((guest) => here.start(guest)))
    const again = async () => expect((await runs()).sort()).toEqual(['kvm', 'kvm', 'probe', 'tcg', 'tcg'])
    await vi.waitFor(again, 20_000)
    for (const { id } of guests) await vi.waitFor(async () => expect(await here.power(id)).toBe('RUNNING'), 20_000)
    await again()
  })

  test('a KVM that has run another guest for long is not given up for one that fails on it', async () => {
    const here = await host('never')
    const old = aGuest()
    await here.createDisk(old, image)
    await here.start(old)
    const longAgo = Date.now() / 1000 - 3600
    await utimes(guestPaths(stateDir, old.id).pid, longAgo, longAgo)
    await failingKvm(dir, 'runs', 'stands still')
    const guest = aGuest()
    await here.createDisk(guest, image)
    await here.start(guest)
    await printed(here, guest.id, 'GUEST-READY')
    expect(await here.resources()).toMatchObject({ accelerator: 'kvm' })
    expect(await memory()).toMatchObject({ accelerator: 'kvm' })
    expect(await here.power(old.id)).toBe('RUNNING')
  })

  test('a guest that failed while no daemon looked is started again by the next one', async () => {
    const first = await host('stands still')
    const guest = aGuest()
    await first.createDisk(guest, image)
    await first.start(guest)
    await first.close()
    const log = guestPaths(stateDir, guest.id).log
    await vi.waitFor(async () => expect(await readFile(log, 'utf8')).toContain('emulation failure'), 20_000)
    const second = await host('stands still')
    await printed(second, guest.id, 'GUEST-READY')
    expect(await memory()).toMatchObject({ accelerator: 'tcg' })
  })

  test.each(['before', 'at the moment'])('a guest that is stopped %s stays stopped', async (when) => {
    const here = await host('stands still')
    const guest = aGuest()
    await here.createDisk(guest, image)
    await here.start(guest)
    const { log } = guestPaths(stateDir, guest.id)
    if (when === 'at the moment')
      await vi.waitFor(async () => expect(await readFile(log, 'utf8')).toContain('KVM'), {
        timeout: 20_000,
        interval: 1,
      })
    await here.stop(guest.id, 0)
    await vi.waitFor(async () => expect(await here.power(guest.id)).toBe('SHUTDOWN'), 20_000)
    expect((await findMachines(stateDir)).size).toBe(0)
  })

  test('a host that is to use nothing but KVM tells that the guest crashed, with the reason', async () => {
    const here = await host('stands still', 'kvm')
    const guest = aGuest()
    await here.createDisk(guest, image)
    await here.start(guest)
    await vi.waitFor(() => expect(told).toEqual([{ id: guest.id, power: 'CRASHED' }]), 20_000)
    expect(await here.lastWords?.(guest.id)).toBe('KVM internal error. Suberror: 1, emulation failure')
    expect(await runs()).toEqual(['probe', 'kvm'])
  })
})
