import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { isFailure } from '../../../src/core/base/errors.ts'
import type { DiskWriter, Driver, GuestPower } from '../../../src/core/virt/driver.ts'
import { guestPaths } from '../../../src/core/virt/qemu/paths.ts'
import { aGuest, boots, harnesses, killedDaemon, open, printed } from './harness.ts'

const minutes = 60_000

const failure = (why: RegExp) =>
  expect.toSatisfy((e: unknown) => isFailure(e, 'DriverFailed') && why.test(e.message), `DriverFailed ${why}`)

describe.each(harnesses)('the $name driver', (harness) => {
  let stateDir: string
  let driver: Driver
  const told: GuestPower[] = []
  // One guest lives through the tests in their order: booting is what takes time.
  const web = aGuest()
  const { id } = web

  beforeAll(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nova-virt-'))
    driver = await open(harness, stateDir)
    driver.onPower((change) => told.push(change))
  })

  afterAll(async () => {
    for (const guest of await driver.list()) await driver.destroy(guest.id)
    await driver.close()
    await rm(stateDir, { recursive: true, force: true })
  })

  test('tells what the host has', async () => {
    const resources = await driver.resources()
    expect(resources).toMatchObject({ hypervisor: harness.name })
    for (const amount of [resources.vcpus, resources.memoryMb, resources.diskGb]) expect(amount).toBeGreaterThan(0)
  })

  test('knows nothing of a guest that was never made', async () => {
    const unknown = aGuest()
    expect(await driver.power(unknown.id)).toBe('NOSTATE')
    expect(await driver.list()).toEqual([])
    expect(await driver.consoleLog(unknown.id)).toBe('')
    await driver.destroy(unknown.id)
    await driver.stop(unknown.id, 1000)
    await expect(driver.start(unknown)).rejects.toEqual(failure(/no disk on this host/))
    await expect(driver.resume(unknown)).rejects.toEqual(failure(/./))
    await expect(driver.reboot(unknown, 'hard', 0)).rejects.toEqual(failure(/no disk on this host/))
    await expect(driver.pause(unknown.id)).rejects.toEqual(failure(/does not run/))
    await expect(driver.unpause(unknown.id)).rejects.toEqual(failure(/does not run/))
    await expect(driver.suspend(unknown.id)).rejects.toEqual(failure(/does not run/))
    expect(await driver.power(unknown.id)).toBe('NOSTATE')
  })

  test('refuses an image with nothing to start from', async () => {
    const image = { disk: undefined, kernel: undefined, ramdisk: undefined }
    await expect(driver.createDisk(aGuest(), image)).rejects.toEqual(failure(/neither a disk nor a kernel/))
  })

  test('makes a guest that is shut down, and makes it twice', async () => {
    await driver.createDisk(web, harness.image)
    await driver.createDisk(web, harness.image)
    expect(await driver.power(id)).toBe('SHUTDOWN')
    expect(await driver.list()).toEqual([{ id, power: 'SHUTDOWN', generation: web.generation }])
  })

  test('starts it, and is content to be asked twice', { timeout: 2 * minutes }, async () => {
    await Promise.all([driver.start(web), driver.start(web)])
    expect(await driver.power(id)).toBe('RUNNING')
    await printed(driver, id, 'GUEST-READY')
    for (const text of harness.banner(web)) expect(await driver.consoleLog(id)).toContain(text)
    await driver.start(web)
    expect(await driver.power(id)).toBe('RUNNING')
    expect(await boots(driver, id)).toBe(1)
  })

  test('shows its console, all of it or the last lines', async () => {
    // The guest may be printing still.
    await vi.waitFor(async () => {
      const all = await driver.consoleLog(id)
      expect(all).toContain(`instance=${id}`)
      const lines = all.trimEnd().split('\n')
      expect(await driver.consoleLog(id, lines.length + 100)).toBe(all)
      // Blank lines count, too: the guest may be about to print its prompt.
      const two = await driver.consoleLog(id, 2)
      expect(all.endsWith(two)).toBe(true)
      expect(two.replace(/\n$/, '').split('\n')).toHaveLength(2)
    }, 5000)
    expect(await driver.consoleLog(id, 0)).toBe('')
  })

  test('pauses and unpauses it, each twice', async () => {
    await driver.pause(id)
    await driver.pause(id)
    expect(await driver.power(id)).toBe('PAUSED')
    await driver.unpause(id)
    await driver.unpause(id)
    expect(await driver.power(id)).toBe('RUNNING')
  })

  test('makes a guest run that stands still after an unfinished start', async () => {
    await driver.pause(id)
    await driver.start(web)
    expect(await driver.power(id)).toBe('RUNNING')
  })

  test('refuses a start by an owner that is out of date', async () => {
    web.generation = 2
    await driver.createDisk(web, harness.image)
    await expect(driver.start({ ...web, generation: 1 })).rejects.toEqual(failure(/generation 1 .* generation 2/))
  })

  test('suspends and resumes it with its memory, each twice', { timeout: 2 * minutes }, async () => {
    await harness.remember(stateDir, id, 'suspended')
    await driver.suspend(id)
    expect(await driver.power(id)).toBe('SUSPENDED')
    await driver.suspend(id)
    expect(await driver.power(id)).toBe('SUSPENDED')
    await driver.resume(web)
    await driver.resume(web)
    expect(await driver.power(id)).toBe('RUNNING')
    await harness.recall(driver, stateDir, id, 'suspended')
    expect(await boots(driver, id)).toBe(1)
  })

  test('takes up a suspended guest when it is told to start', { timeout: 2 * minutes }, async () => {
    await driver.suspend(id)
    await driver.start(web)
    expect(await driver.power(id)).toBe('RUNNING')
    await harness.recall(driver, stateDir, id, 'suspended')
    expect(await boots(driver, id)).toBe(1)
  })

  test('is not told of what it did itself', () => {
    expect(told).toEqual([])
  })

  test('lets go of its guests and takes them up again', async () => {
    await driver.close()
    driver = await open(harness, stateDir)
    driver.onPower((change) => told.push(change))
    expect(await driver.list()).toEqual([{ id, power: 'RUNNING', generation: web.generation }])
    await driver.pause(id)
    expect(await driver.power(id)).toBe('PAUSED')
    await driver.unpause(id)
  })

  test('gives up a stop that is taken back, and the guest runs on', async () => {
    await driver.pause(id)
    const taken = new AbortController()
    taken.abort(new Error('taken back'))
    await expect(driver.stop(id, minutes, taken.signal)).rejects.toThrow('taken back')
    expect(await driver.power(id)).toBe('PAUSED')
    await driver.unpause(id)
  })

  test('reboots it softly and hard', { timeout: 3 * minutes }, async () => {
    await driver.reboot(web, 'soft', minutes)
    await printed(driver, id, 'GUEST-READY', 2)
    expect(await driver.consoleLog(id)).toContain('power button pressed')
    await driver.reboot(web, 'hard', 0)
    await printed(driver, id, 'GUEST-READY', 3)
    expect(await driver.power(id)).toBe('RUNNING')
    expect(told).toEqual([])
  })

  test('tells that a guest shut itself down, and starts it again', { timeout: 3 * minutes }, async () => {
    await harness.byItself(driver, stateDir, id, 'shutdown')
    await vi.waitFor(() => expect(told).toEqual([{ id, power: 'SHUTDOWN' }]), { timeout: 30_000 })
    expect(await driver.power(id)).toBe('SHUTDOWN')
    await driver.reboot(web, 'soft', 1000)
    await printed(driver, id, 'GUEST-READY', 4)
  })

  test('tells that a guest crashed, and starts it again', { timeout: 3 * minutes }, async () => {
    told.length = 0
    await harness.byItself(driver, stateDir, id, 'crash')
    await vi.waitFor(() => expect(told).toEqual([{ id, power: 'CRASHED' }]), { timeout: 30_000 })
    expect(await driver.power(id)).toBe('CRASHED')
    await driver.start(web)
    expect(await driver.power(id)).toBe('RUNNING')
    await printed(driver, id, 'GUEST-READY', 5)
    told.length = 0
  })

  test('stops it as the guest likes, and twice', { timeout: 2 * minutes }, async () => {
    await driver.stop(id, minutes)
    expect(await driver.power(id)).toBe('SHUTDOWN')
    expect(await driver.consoleLog(id, 3)).toContain('Power down')
    await driver.stop(id, minutes)
    expect(await driver.power(id)).toBe('SHUTDOWN')
    await expect(driver.pause(id)).rejects.toEqual(failure(/does not run/))
    await expect(driver.resume(web)).rejects.toEqual(failure(/memory was not saved/))
  })

  test('cuts the power of a guest that does not listen', async () => {
    await driver.start(web)
    await driver.stop(id, 0)
    expect(await driver.power(id)).toBe('SHUTDOWN')
  })

  test('forgets the memory of a suspended guest that is stopped, or rebooted hard', async () => {
    await driver.start(web)
    await driver.suspend(id)
    await driver.stop(id, minutes)
    expect(await driver.power(id)).toBe('SHUTDOWN')
    await driver.start(web)
    await driver.suspend(id)
    await driver.reboot(web, 'hard', 0)
    expect(await driver.power(id)).toBe('RUNNING')
    await driver.stop(id, 0)
    await expect(driver.resume(web)).rejects.toEqual(failure(/memory was not saved/))
    expect(told).toEqual([])
  })

  const ways: Array<[string, (guest: typeof web) => Promise<unknown>]> = [
    ['SHUTDOWN', async () => undefined],
    ['RUNNING', (guest) => driver.start(guest)],
    ['PAUSED', (guest) => driver.start(guest).then(() => driver.pause(guest.id))],
    ['SUSPENDED', (guest) => driver.start(guest).then(() => driver.suspend(guest.id))],
  ]
  test.each(ways)('destroys a guest that is %s, and twice', async (power, lead) => {
    const guest = aGuest()
    await driver.createDisk(guest, harness.image)
    await lead(guest)
    expect(await driver.power(guest.id)).toBe(power)
    await driver.destroy(guest.id)
    await driver.destroy(guest.id)
    expect(await driver.power(guest.id)).toBe('NOSTATE')
    expect(await driver.list()).toEqual([{ id, power: 'SHUTDOWN', generation: web.generation }])
    expect(await driver.consoleLog(guest.id)).toBe('')
    expect(existsSync(guestPaths(stateDir, guest.id).dir)).toBe(false)
    expect(told).toEqual([])
  })

  describe('moves a guest to another host', { timeout: 2 * minutes }, () => {
    let otherDir: string
    let other: Driver
    const mover = aGuest({ size: { vcpus: 1, memoryMb: 128, diskGb: 1 } })
    const next = { ...mover, generation: mover.generation + 1 }

    /** Copies what one host exports to a writer of the other; gives its length. */
    const copy = async (to: DiskWriter): Promise<number> => {
      const reader = await driver.exportDisk(mover.id)
      let end = 0
      for await (const { offset, data } of reader.extents()) {
        expect(offset).toBeGreaterThanOrEqual(end)
        expect(data.length).toBeLessThanOrEqual(1 << 20)
        end = offset + data.length
        await to.write(offset, data)
      }
      await reader.close()
      expect(end).toBeLessThanOrEqual(reader.lengthBytes)
      expect(reader.sizeBytes).toBeLessThanOrEqual(reader.lengthBytes)
      return reader.lengthBytes
    }

    beforeAll(async () => {
      otherDir = await mkdtemp(join(tmpdir(), 'nova-virt-other-'))
      other = await open(harness, otherDir)
      await driver.createDisk(mover, harness.image)
    })
    afterAll(async () => {
      await driver.destroy(mover.id)
      for (const guest of await other.list()) await other.destroy(guest.id)
      await other.close()
      await rm(otherDir, { recursive: true, force: true })
    })

    test('but none that is not here, runs, or has its memory saved', async () => {
      await expect(driver.exportDisk(aGuest().id)).rejects.toEqual(failure(/no disk on this host/))
      await driver.start(mover)
      await printed(driver, mover.id, 'GUEST-READY')
      await expect(driver.exportDisk(mover.id)).rejects.toEqual(failure(/it runs: stop it first/))
      await driver.pause(mover.id)
      await expect(driver.exportDisk(mover.id)).rejects.toEqual(failure(/it runs: stop it first/))
      await driver.suspend(mover.id)
      await expect(driver.exportDisk(mover.id)).rejects.toEqual(failure(/its memory is saved here/))
      await driver.stop(mover.id, 0)
    })

    test('which does not have it before all of it came', async () => {
      const writer = await other.importDisk(next, harness.image)
      const length = await copy(writer)
      expect(await other.power(mover.id)).toBe('NOSTATE')
      await expect(writer.complete(length + 1)).rejects.toEqual(failure(/only in part/))
      expect(await other.list()).toEqual([])
      await writer.abort()
      await expect(writer.write(0, Buffer.alloc(1))).rejects.toEqual(failure(/is over/))
      await expect(writer.complete(length)).rejects.toEqual(failure(/is over/))
      expect(await other.power(mover.id)).toBe('NOSTATE')
      expect(existsSync(guestPaths(otherDir, mover.id).dir)).toBe(false)
    })

    test('from the start if it must, and has it then, shut down, with its console', async () => {
      const given = await other.importDisk(next, harness.image)
      await copy(given)
      const writer = await other.importDisk(next, harness.image)
      // Its place was taken; what it does now touches nothing.
      await expect(given.write(0, Buffer.alloc(1))).rejects.toEqual(failure(/is over/))
      await given.abort()
      await copy(writer)
      await writer.restart()
      await writer.complete(await copy(writer))
      await writer.abort()
      expect(await other.list()).toEqual([{ id: mover.id, power: 'SHUTDOWN', generation: next.generation }])
      expect(await other.consoleLog(mover.id)).toBe(await driver.consoleLog(mover.id))
      expect(await driver.power(mover.id)).toBe('SHUTDOWN')
    })

    test('twice, and the guest boots there', async () => {
      const writer = await other.importDisk(next, harness.image)
      await writer.complete(await copy(writer))
      await other.start(next)
      await printed(other, mover.id, 'GUEST-READY', 2)
      expect(await other.power(mover.id)).toBe('RUNNING')
    })

    test('but not over one that runs or belongs to a newer owner', async () => {
      await expect(other.importDisk(next, harness.image)).rejects.toEqual(failure(/it runs on this host/))
      await other.stop(mover.id, 0)
      await expect(other.importDisk(mover, harness.image)).rejects.toEqual(failure(/generation 1 .* generation 2/))
      const late = await other.importDisk(next, harness.image)
      const length = await copy(late)
      await other.start(next)
      await expect(late.complete(length)).rejects.toEqual(failure(/it runs on this host/))
      await late.abort()
      expect(await other.power(mover.id)).toBe('RUNNING')
      await other.stop(mover.id, 0)
    })

    test('but no bytes that it did not send', async () => {
      const writer = await other.importDisk(next, harness.image)
      await expect(
        (async () => {
          await writer.write(0, Buffer.from('this is no guest'))
          await writer.complete(16)
        })(),
      ).rejects.toEqual(failure(/./))
      await writer.abort()
      expect(await other.power(mover.id)).toBe('SHUTDOWN')
    })
  })

  test('starts a guest with an empty disk beside its ramdisk', { timeout: 2 * minutes }, async () => {
    const guest = aGuest({ size: { vcpus: 2, memoryMb: 128, diskGb: 1 } })
    await driver.createDisk(guest, harness.image)
    await driver.start(guest)
    await printed(driver, guest.id, 'GUEST-READY')
    expect(await driver.power(guest.id)).toBe('RUNNING')
    await driver.destroy(guest.id)
  })

  test('loses no guest when its daemon is killed', { timeout: 3 * minutes }, async () => {
    const guest = aGuest({ name: 'survivor' })
    await killedDaemon({
      options: harness.options(stateDir),
      actions: [
        ['createDisk', guest, harness.image],
        ['start', guest],
      ],
    })
    const next = await open(harness, stateDir)
    const heard: GuestPower[] = []
    next.onPower((change) => heard.push(change))
    expect(await next.power(guest.id)).toBe('RUNNING')
    await next.start(guest)
    await printed(next, guest.id, 'GUEST-READY')
    expect(await boots(next, guest.id)).toBe(1)
    await harness.byItself(next, stateDir, guest.id, 'shutdown')
    await vi.waitFor(() => expect(heard).toEqual([{ id: guest.id, power: 'SHUTDOWN' }]), { timeout: 30_000 })
    await next.destroy(guest.id)
    expect(await next.list()).toEqual([{ id, power: 'SHUTDOWN', generation: web.generation }])
    await next.close()
  })
})
