import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../../../src/core/base/clock.ts'
import { exec } from '../../../../src/core/base/exec.ts'
import { randomMac, systemIds } from '../../../../src/core/base/ids.ts'
import type { Driver, Guest, ImageFiles } from '../../../../src/core/virt/driver.ts'
import { machineFiles, qemuArguments } from '../../../../src/core/virt/qemu/arguments.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { defaultBinary } from '../../../../src/core/virt/qemu/probe.ts'
import { findMachines, startMachine } from '../../../../src/core/virt/qemu/process.ts'
import { connectQmp } from '../../../../src/core/virt/qemu/qmp.ts'
import { aGuest, boots, harnesses, killedDaemon, open, printed, type } from '../harness.ts'

const onQemu = harnesses.filter(({ name }) => name === 'qemu')

describe.each(onQemu)('a guest of $name', { timeout: 120_000 }, (harness) => {
  let stateDir: string
  let driver: Driver
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nova-lasting-'))
    driver = await open(harness, stateDir)
  })
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.destroy(id)
    await driver.close()
    expect((await findMachines(stateDir)).size).toBe(0)
    await rm(stateDir, { recursive: true, force: true })
  })

  const paths = (guest: Guest) => guestPaths(stateDir, guest.id)
  const record = async (guest: Guest) => JSON.parse(await readFile(paths(guest).record, 'utf8'))
  const machine = async () => {
    const [pid] = (await findMachines(stateDir)).values()
    return { pid, words: (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0') }
  }
  const option = (words: string[], name: string) => words[words.indexOf(name) + 1]
  const withDisk = (change: Partial<Guest> = {}) => aGuest({ size: { vcpus: 1, memoryMb: 128, diskGb: 1 }, ...change })

  test('that was suspended on hardware profile 1 resumes on it, and boots on the newest', async () => {
    const guest = aGuest()
    const { size, nics, disks } = guest
    // As a daemon that knew no other profile would have left it.
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await driver.stop(guest.id, 0)
    const hardware = { profile: 1, vcpus: size.vcpus, memoryMb: size.memoryMb, nics, disks }
    await writeFile(paths(guest).record, JSON.stringify({ ...(await record(guest)), hardware }))
    const spec = { guest, hardware, image: harness.image, paths: paths(guest), hasDisk: false }
    const args = qemuArguments({ ...spec, accelerator: 'tcg', resumes: false })
    await startMachine([defaultBinary, args], machineFiles({ ...spec, resumes: false }), paths(guest))
    await vi.waitFor(async () => expect(await driver.consoleLog(guest.id)).toContain('GUEST-READY'), 90_000)
    const before = await boots(driver, guest.id)

    await driver.suspend(guest.id)
    expect(await record(guest)).toMatchObject({
      hardware: { profile: 1, machineType: expect.stringMatching(/^pc-q35-/) },
    })
    const larger = { ...guest, size: { ...guest.size, memoryMb: 192 } }
    await driver.resume(larger)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    expect(option((await machine()).words, '-m')).toBe('128')
    await type(stateDir, guest.id, 'echo still here')
    await printed(driver, guest.id, 'still here')
    expect(await boots(driver, guest.id)).toBe(before)

    await driver.stop(guest.id, 0)
    await driver.start(larger)
    expect(await record(guest)).toMatchObject({ hardware: { profile: 2, cpu: 'max', memoryMb: 192 } })
    expect(option((await machine()).words, '-m')).toBe('192')
  })

  test('resumes with the processor that it was booted with', async () => {
    const guest = aGuest()
    const options = (cpuModel: string) => ({
      ...harness,
      options: (dir: string) => ({ ...harness.options(dir), cpuModel }),
    })
    await driver.close()
    driver = await open(options('Nehalem-v1'), stateDir)
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await driver.suspend(guest.id)
    await driver.close()
    driver = await open(harness, stateDir)
    await driver.resume(guest)
    expect(option((await machine()).words, '-cpu')).toBe('Nehalem-v1')
    await driver.reboot(guest, 'hard', 0)
    expect(option((await machine()).words, '-cpu')).toBe('max')
  })

  test('has exactly its cards, in their order, and keeps them over suspend, stop and reboot', async () => {
    const nics = [1, 2].map(() => ({ id: systemIds.uuid(), mac: randomMac(systemIds) }))
    const guest = aGuest({ nics })
    let asked = 0
    const expectCards = async () => {
      const question = `${++asked}. cards:`
      await type(stateDir, guest.id, `echo "${question}" $(cat /sys/class/net/eth*/address)`)
      await printed(driver, guest.id, `${question} ${nics.map(({ mac }) => mac).join(' ')}`)
    }
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    await expectCards()
    await driver.suspend(guest.id)
    await driver.resume(guest)
    await expectCards()
    await driver.stop(guest.id, 0)
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY', 2)
    await expectCards()
    await driver.reboot(guest, 'hard', 0)
    await printed(driver, guest.id, 'GUEST-READY', 3)
    await expectCards()
    expect(await record(guest)).toMatchObject({ guest: { nics }, hardware: { nics } })
  })

  test('does not start with a processor that nobody makes', async () => {
    const wrong = { ...harness, options: (dir: string) => ({ ...harness.options(dir), cpuModel: 'Haswel' }) }
    await expect(open(wrong, stateDir)).rejects.toThrow(/compute\.cpu_model = Haswel .*as Haswell/)
  })

  test('finds a card that is plugged into its last spare port', async () => {
    const guest = aGuest()
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    await driver.close()
    const qmp = await connectQmp(paths(guest).qmp, { clock: systemClock, timeoutMs: 5000 })
    await qmp.execute('netdev_add', { type: 'user', id: 'net9', restrict: true })
    const card = { driver: 'virtio-net-pci', id: 'card9', netdev: 'net9', bus: 'spare23', mac: 'fa:16:3e:00:00:99' }
    await qmp.execute('device_add', card)
    qmp.close()
    await qmp.closed
    driver = await open(harness, stateDir)
    await vi.waitFor(
      async () => {
        await type(stateDir, guest.id, 'cat /sys/class/net/*/address')
        expect(await driver.consoleLog(guest.id)).toContain('fa:16:3e:00:00:99')
      },
      { timeout: 20_000, interval: 500 },
    )
  })

  /** The text of the failure, which members see, too: it must not tell where things lie on the host. */
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const text = await work.then(
      () => expect.unreachable(),
      (e: Error) => e.message,
    )
    expect(text).not.toContain(stateDir)
    return text
  }

  test('does not start without its disk', async () => {
    const guest = withDisk()
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await rm(paths(guest).disk)
    // The machine that runs has the last copy.
    expect(await refusal(driver.reboot(guest, 'hard', 0))).toContain('its disk is not on this host')
    expect(await driver.power(guest.id)).toBe('RUNNING')
    await driver.stop(guest.id, 0)
    expect(await refusal(driver.start(guest))).toMatch(/could not start the guest: its disk is not on this host$/)
    expect(await refusal(driver.createDisk(guest, harness.image))).toContain('its disk is not on this host')
    expect(await refusal(driver.exportDisk(guest.id))).toContain('its disk is not on this host')
    expect(await driver.power(guest.id)).toBe('SHUTDOWN')
    expect(existsSync(paths(guest).disk)).toBe(false)
  })

  test.each(['disk', 'kernel', 'ramdisk'] as const)(
    "does not start without its image's %s, and names it",
    async (part) => {
      const files = { disk: join(stateDir, 'd15c'), kernel: join(stateDir, 'ce41'), ramdisk: join(stateDir, '4a3d') }
      await exec('qemu-img', ['create', '-q', '-f', 'qcow2', files.disk, '1G'])
      await copyFile(harness.image.kernel ?? '', files.kernel)
      await copyFile(harness.image.ramdisk ?? '', files.ramdisk)
      const image: ImageFiles = { ...files, disk: { path: files.disk, format: 'qcow2' } }
      const guest = withDisk()
      await driver.createDisk(guest, image)
      await rm(files[part])
      expect(await refusal(driver.start(guest))).toMatch(
        new RegExp(`its image is not on this host any more: file ${basename(files[part])} must be fetched again$`),
      )
    },
  )

  test.each(['', '{"guest": {"id": "'])(
    'whose record is cut off (%j) does not start, and says what to do',
    async (text) => {
      const guest = aGuest()
      await driver.createDisk(guest, harness.image)
      await writeFile(paths(guest).record, text)
      expect(await refusal(driver.start(guest))).toMatch(
        /its guest\.json on this host is damaged \(.*\): restore the file from a backup, or delete the instance$/,
      )
      expect(await driver.list()).toEqual([{ id: guest.id, power: 'SHUTDOWN', generation: 0 }])
    },
  )

  test('is built again by a hard reboot, even if its machine hangs', async () => {
    const guest = aGuest()
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    const { pid } = await machine()
    process.kill(pid ?? 0, 'SIGSTOP')
    const changed = { ...guest, name: 'Changed', size: { vcpus: 2, memoryMb: 160, diskGb: 0 } }
    await driver.reboot(changed, 'hard', 0)
    const after = await machine()
    expect(after.pid).not.toBe(pid)
    expect([option(after.words, '-m'), option(after.words, '-smp')]).toEqual(['160', '2'])
    await printed(driver, guest.id, 'host=changed')
  })

  test('whose daemon was killed in a hard reboot is rebooted by the next', async () => {
    const guest = aGuest()
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    const { pid } = await machine()
    await driver.close()
    const actions: Parameters<typeof killedDaemon>[0]['actions'] = [['reboot', guest, 'hard', 0]]
    await killedDaemon({ options: harness.options(stateDir), actions }, 'doing reboot', () =>
      vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 20_000, interval: 1 }),
    )
    driver = await open(harness, stateDir)
    await driver.reboot(guest, 'hard', 0)
    expect(await driver.power(guest.id)).toBe('RUNNING')
    expect((await machine()).pid).not.toBe(pid)
    expect((await findMachines(stateDir)).size).toBe(1)
  })

  test('whose machine cannot start says why', async () => {
    const guest = aGuest()
    const kernel = join(stateDir, 'cut')
    await copyFile(harness.image.kernel ?? '', kernel)
    await truncate(kernel, 100)
    await driver.createDisk(guest, { ...harness.image, kernel })
    await expect(driver.start(guest)).rejects.toThrow(/could not start the guest: QEMU ended: ./)
    expect(await driver.power(guest.id)).toBe('SHUTDOWN')
  })
})
