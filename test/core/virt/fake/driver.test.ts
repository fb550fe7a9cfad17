import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Clock } from '../../../../src/core/base/clock.ts'
import { Failure, isFailure } from '../../../../src/core/base/errors.ts'
import { systemIds } from '../../../../src/core/base/ids.ts'
import type { Guest } from '../../../../src/core/virt/driver.ts'
import { type FakeOptions, openFake } from '../../../../src/core/virt/fake/driver.ts'

/** A clock that notes how long it was asked to sleep, and lets it pass at once unless told to abort. */
class NotingClock implements Clock {
  readonly slept: number[] = []
  whileAsleep: (() => void) | undefined
  now = () => 0
  after = () => () => undefined
  async sleep(ms: number) {
    this.slept.push(ms)
    this.whileAsleep?.()
  }
}

const image = { disk: undefined, kernel: '/no/kernel', ramdisk: undefined }
const aGuest = (id = systemIds.uuid()): Guest => ({
  id,
  name: 'web',
  size: { vcpus: 1, memoryMb: 512, diskGb: 1 },
  metadata: {},
  userData: undefined,
  publicKey: undefined,
  generation: 1,
  nics: [],
  disks: [],
})
const fake = (options: Partial<FakeOptions> = {}) => openFake({ clock: new NotingClock(), ids: systemIds, ...options })

async function started(options: Partial<FakeOptions> = {}) {
  const driver = fake(options)
  const guest = aGuest()
  await driver.createDisk(guest, image)
  await driver.start(guest)
  return { driver, guest, id: guest.id }
}

describe('latency', () => {
  test('is the same for every action, or one for each', async () => {
    const clock = new NotingClock()
    const { driver, id } = await started({ clock, latencyMs: 7 })
    await driver.pause(id)
    expect(clock.slept).toEqual([7, 7, 7])
    const other = new NotingClock()
    await started({ clock: other, latencyMs: { start: 40 } })
    expect(other.slept).toEqual([40])
  })

  test('is drawn between the least and the most', async () => {
    const clock = new NotingClock()
    await started({ clock, ids: { ...systemIds, random: () => 0.5 }, latencyMs: { start: [10, 30] } })
    expect(clock.slept).toEqual([20])
  })

  test('ends with the signal, and then nothing was done', async () => {
    const clock = new NotingClock()
    const driver = fake({ clock, latencyMs: { start: 1000 } })
    const guest = aGuest()
    await driver.createDisk(guest, image)
    const taken = new AbortController()
    clock.whileAsleep = () => taken.abort(new Error('taken back'))
    await expect(driver.start(guest, taken.signal)).rejects.toThrow('taken back')
    expect(await driver.power(guest.id)).toBe('SHUTDOWN')
  })
})

describe('faults to order', () => {
  test('before an action: it fails and nothing was done', async () => {
    const { driver, id } = await started()
    driver.setFaults((action, _id, when) => (action === 'pause' && when === 'before' ? new Error('no') : undefined))
    const error = await driver.pause(id).catch((e: unknown) => e)
    expect(isFailure(error, 'DriverFailed') && error.message).toBe('The hypervisor could not pause the guest: no')
    expect(await driver.power(id)).toBe('RUNNING')
    driver.setFaults(undefined)
    await driver.pause(id)
  })

  test('after an action: it was done, and its answer is an error', async () => {
    const { driver, id } = await started()
    driver.setFaults((_deed, _id, when) => (when === 'after' ? new Error('lost') : undefined))
    await expect(driver.pause(id)).rejects.toThrow('lost')
    expect(await driver.power(id)).toBe('PAUSED')
  })

  test('a failure of the table goes through as it is', async () => {
    const failure = new Failure('InvalidRequest', { what: 'as it is' })
    const { driver, id } = await started()
    driver.setFaults(() => failure)
    await expect(driver.stop(id, 0)).rejects.toBe(failure)
  })
})

test('counts the machines of a guest', async () => {
  const { driver, guest, id } = await started()
  await driver.start(guest)
  expect(driver.copies(id)).toBe(1)
  await driver.pause(id)
  expect(driver.copies(id)).toBe(1)
  await driver.suspend(id)
  expect(driver.copies(id)).toBe(0)
  await driver.destroy(id)
  expect(driver.copies(id)).toBe(0)
})

test('tells nothing of a guest that does not run, nor after it was closed', async () => {
  const { driver, id } = await started()
  const told: unknown[] = []
  driver.onPower((change) => told.push(change))
  await driver.stop(id, 0)
  driver.simulate(id, 'crash')
  expect(told).toEqual([])
  expect(await driver.power(id)).toBe('SHUTDOWN')
  await driver.close()
  expect(told).toEqual([])
})

test('without a file its guests outlive close and init', async () => {
  const { driver, id } = await started()
  await driver.close()
  await driver.init()
  expect(await driver.list()).toEqual([{ id, power: 'RUNNING', generation: 1 }])
})

describe('the state file', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nova-fake-'))
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  test('holds guests, their power and their console', async () => {
    const stateFile = join(dir, 'a.jsonl')
    const { driver, id } = await started({ stateFile })
    await driver.pause(id)
    const next = fake({ stateFile })
    expect(await next.list()).toEqual([{ id, power: 'PAUSED', generation: 1 }])
    expect(await next.consoleLog(id)).toBe(await driver.consoleLog(id))
  })

  test('is read up to a line that was cut off, and goes on from there', async () => {
    const stateFile = join(dir, 'b.jsonl')
    const { driver, guest, id } = await started({ stateFile })
    await driver.stop(id, 0)
    await appendFile(stateFile, `{"id":"${id}","power":"RUNN`)
    const next = fake({ stateFile })
    expect(await next.power(id)).toBe('SHUTDOWN')
    await next.start(guest)
    expect(await fake({ stateFile }).power(id)).toBe('RUNNING')
  })

  test('is written anew when most of it is out of date', async () => {
    const stateFile = join(dir, 'c.jsonl')
    const { driver, id } = await started({ stateFile })
    for (let i = 0; i < 100; i += 1) {
      await driver.pause(id)
      await driver.unpause(id)
    }
    const before = await driver.consoleLog(id)
    const next = fake({ stateFile })
    expect((await readFile(stateFile, 'utf8')).trim().split('\n').length).toBeLessThan(10)
    expect(await next.power(id)).toBe('RUNNING')
    expect(await next.consoleLog(id)).toBe(before)
    expect(await fake({ stateFile }).consoleLog(id)).toBe(before)
  })

  test('is for its owner only', async () => {
    const stateFile = join(dir, 'd.jsonl')
    await started({ stateFile })
    const { stat } = await import('node:fs/promises')
    expect((await stat(stateFile)).mode & 0o777).toBe(0o600)
  })
})

test('plays five thousand guests in a moment', async () => {
  const driver = fake()
  const guests = Array.from({ length: 5000 }, () => aGuest())
  await Promise.all(guests.map((guest) => driver.createDisk(guest, image).then(() => driver.start(guest))))
  const list = await driver.list()
  expect(list).toHaveLength(5000)
  expect(list.every(({ power }) => power === 'RUNNING')).toBe(true)
})
