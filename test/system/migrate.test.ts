import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../src/core/base/exec.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import type { Operation, Published } from '../../src/core/contracts/shapes.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { admin, backends } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'
import { qemu } from '../kit/qemu.ts'
import { type HostName, hostNames, otherThan, TwoHosts } from '../kit/two-hosts.ts'

/**
 * Cold migration of real QEMU guests between two hosts with a login each, and what silent or killed daemons make of it.
 * Throughout: never two machines of one guest (invariant I4).
 */
const guest = await qemu()
const patienceMs = 60_000
const mib = 1 << 20
/** What the guest's disk has to be so that its transfer takes seconds: enough to be looked at. */
const largeMib = 512
/** And what is left of that for the transfers that are only interrupted. */
const smallerMib = 256
const largeByte = 0x5a

if (guest)
  describe.each(await backends())('a virtual machine moves to another host (%s)', (backend) => {
    let hosts: TwoHosts
    let bus: Bus
    let api: Api<typeof conductor>
    let web: string

    beforeAll(async () => {
      hosts = await TwoHosts.open(backend)
      bus = await hosts.cloud.bus()
      api = bus.client(conductor)
      await ok('image', 'create', 'guest', '--kernel', guest.kernel, '--ramdisk', guest.ramdisk, '--min-memory', '96')
    }, 120_000)
    afterAll(() => hosts?.close(), 120_000)
    afterEach(() => expect(hosts.copies, 'machines of one guest at a moment').toBeLessThanOrEqual(1))

    const ok = async (...args: string[]) => {
      const ran = await hosts.cloud.nova(...args)
      expect(ran, ran.stderr).toMatchObject({ code: 0 })
      return ran.stdout.trim()
    }
    const shown = (name = 'web') => persist(() => api.instanceShow(admin(), { instance: name }))
    const hostOf = async (name = 'web') => (await shown(name)).host as HostName
    const becomes = (wanted: object, name = 'web') =>
      expect.poll(() => shown(name), { timeout: patienceMs, interval: 100 }).toMatchObject(wanted)

    /** Asked on the bus: a command each time would take the processor from the guest that boots. */
    const consoleOf = async () => (await persist(() => api.consoleLog(admin(), { instance: 'web' }))).text
    /** How often the guest has come up, on whichever host: its console moves with it. */
    const ready = async () => (await consoleOf()).match(/GUEST-READY/g)?.length ?? 0
    const isReady = (times: number) =>
      expect.poll(ready, { timeout: patienceMs, interval: 200 }).toBeGreaterThanOrEqual(times)
    const consoleSays = (text: RegExp) => expect.poll(consoleOf, { timeout: patienceMs, interval: 200 }).toMatch(text)
    /** Types a line on the guest's serial console, as somebody at its keyboard would. */
    const type = async (line: string) => {
      const keyboard = createConnection(hosts.paths(await hostOf(), web).serial)
      // What the guest answers is read from its console. It takes the next keyboard when this one has gone.
      keyboard.resume().end(`\n${line}\n`)
      await once(keyboard, 'close')
    }
    const qemuIo = async (host: HostName, command: string) => {
      const ran = await exec('qemu-io', ['-f', 'qcow2', '-d', 'unmap', '-c', command, hosts.paths(host, web).disk])
      expect(ran, ran.stdout).toMatchObject({ code: 0, stderr: '' })
      expect(ran.stdout).not.toContain('Pattern verification failed')
    }
    /** The data that makes the disk large, behind what the guest itself has written. */
    const large = `-P ${largeByte} ${16 * mib} ${largeMib * mib}`
    const smaller = `-P ${largeByte} ${16 * mib} ${smallerMib * mib}`
    const rest = `${(16 + smallerMib) * mib} ${(largeMib - smallerMib) * mib}`

    /** The guest is on this host alone, and each host's capacity counters say so. */
    const expectOnlyOn = async (host: HostName, id: string, running: boolean) => {
      const other = otherThan(host)
      await expect
        .poll(() => existsSync(hosts.paths(other, id).dir), { timeout: patienceMs, message: `left on ${other}` })
        .toBe(false)
      expect((await hosts.machines(other)).has(id)).toBe(false)
      expect((await hosts.machines(host)).has(id)).toBe(running)
      expect(existsSync(hosts.paths(host, id).record)).toBe(true)
      await expectCapacity()
    }
    /** A migration has ended with the guest running on this host, and nothing of it on the other. */
    const runsOn = async (host: HostName) => {
      await expectOnlyOn(host, web, true)
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host, power: 'RUNNING' })
    }
    /** What is used of each host is the sum over the instances on it. */
    const expectCapacity = () =>
      expect
        .poll(
          async () => {
            const [{ hosts: rows }, { instances }] = await Promise.all([
              persist(() => api.hostList(admin(), {})),
              persist(() => api.instanceList(admin(), {})),
            ])
            return rows.filter(({ name, used, instances: count }) => {
              const there = instances.filter(({ host }) => host === name).length
              return count !== there || used.memoryMb !== 128 * there || used.vcpus !== there || used.diskGb !== there
            })
          },
          { timeout: patienceMs },
        )
        .toEqual([])

    /** Begins a migration; `at` resolves when it has come to the step. */
    const migrateTo = async (step: string) => {
      let strike = (): void => undefined
      const at = new Promise<void>((resolve) => {
        strike = resolve
      })
      const stop = await bus.subscribe(['operation.step.#'], ({ body }) => {
        const { instanceName, operation } = body as Published
        if (instanceName === 'web' && operation?.kind === 'migrate' && operation.step === step) strike()
      })
      const { operation } = await api.begin(admin(), { instance: 'web', kind: 'migrate' })
      await at
      await stop()
      return operation
    }
    const begunSteps = (operation: Operation) =>
      operation.steps.filter(({ undo }) => !undo).map(({ name, host }) => `${name} ${host}`)
    const undone = (operation: Operation) => operation.steps.filter(({ undo }) => undo).map(({ name }) => name)

    test('boots on the other host with its disk and console, and nothing of it is left behind', {
      timeout: 240_000,
    }, async () => {
      await ok('boot', 'web', '--image', 'guest', '--flavor', 'm1.nano', '--availability-zone', ':a', '--wait')
      web = (await shown()).id
      await isReady(1)
      await type('echo the-mark-of-web >/dev/vda; sync; echo wri""tten')
      await consoleSays(/^written/m)
      const { mac_address: mac } = await hosts.cloud.json<{ mac_address: string }>('show', 'web')
      expect(mac).toMatch(/^fa:16:3e(:[0-9a-f]{2}){3}$/)
      await type('echo card on a: $(cat /sys/class/net/eth*/address)')
      await consoleSays(new RegExp(`^card on a: ${mac}\\r?$`, 'm'))

      expect(await ok('migrate', 'web', '--wait')).toContain('migrated')
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host: 'b', power: 'RUNNING' })
      await isReady(2)
      await type('echo disk: $(head -n 1 /dev/vda)')
      await consoleSays(/^disk: the-mark-of-web/m)
      await type('echo card on b: $(cat /sys/class/net/eth*/address)')
      await consoleSays(new RegExp(`^card on b: ${mac}\\r?$`, 'm'))
      expect(await hosts.cloud.json('show', 'web')).toMatchObject({ mac_address: mac })
      await expectOnlyOn('b', web, true)

      // A host that does not exist, and the one where it is.
      expect(await hosts.cloud.nova('migrate', 'web', '--host', 'nowhere')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('No host "nowhere"'),
      })
      expect(await hosts.cloud.nova('migrate', 'web', '--host', 'b')).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('web is on b already'),
      })
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host: 'b' })
    })

    test('stays SHUTOFF, and starts there; how far its disk is can be seen', { timeout: 240_000 }, async () => {
      await ok('stop', 'web', '--wait')
      await qemuIo('b', `write ${large}`)
      const operation = await migrateTo('send')
      const seen = new Set<string>()
      let listed = ''
      while ((await shown()).task !== undefined) {
        const { progress } = await hosts.cloud.json<{ progress: string | null }>('operation', 'show', operation)
        if (progress !== null) seen.add(progress)
        const list = await ok('operation', 'list', '--open')
        if (/%|MiB/.test(list)) listed = list
      }
      const ended = await endOf(api, operation)
      expect(ended).toMatchObject({ state: 'succeeded' })
      expect([...seen].join()).toMatch(/disk/)
      expect(listed).not.toBe('')
      expect(await shown()).toMatchObject({ status: 'SHUTOFF', host: 'a', power: 'SHUTDOWN' })
      await expectOnlyOn('a', web, false)
      await qemuIo('a', `read ${large}`)
      await qemuIo('a', `discard ${rest}`)

      const before = await ready()
      await ok('start', 'web', '--wait')
      await isReady(before + 1)
      await expectOnlyOn('a', web, true)
    })

    test('is back where it was, and runs, if the migration is cancelled while the disk is sent', {
      timeout: 240_000,
    }, async () => {
      const before = await ready()
      const operation = await migrateTo('send')
      await api.operationCancel(admin(), { operation })
      const ended = await endOf(api, operation)
      expect(ended).toMatchObject({ state: 'cancelled' })
      expect(undone(ended)).toEqual(expect.arrayContaining(['receive', 'stop', 'prepare']))
      await runsOn('a')
      await isReady(before + 1)
    })

    test('runs where it was if the other host falls silent while it receives the disk', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('send')
      hosts.freeze('b')
      const ended = await endOf(api, operation)
      expect(ended).toMatchObject({ state: 'failed', fault: { message: expect.stringContaining('Not undone on b') } })
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host: 'a', power: 'RUNNING' })
      expect(existsSync(hosts.paths('b', web).dir)).toBe(true)

      hosts.freeze('b', false)
      await runsOn('a')
    })

    test('arrives though the daemon of the other host is killed while it receives', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('send')
      await hosts.killAndRestart('b')
      const ended = await endOf(api, operation)
      expect(ended).toMatchObject({ state: 'succeeded' })
      expect(begunSteps(ended).filter((step) => step === 'receive b').length).toBeGreaterThan(1)
      await runsOn('b')
    })

    /** The host counts as down, and the sweeper has had its say about that. */
    const isDown = (host: HostName) =>
      expect
        .poll(async () => (await persist(() => api.hostList(admin(), {}))).hosts.find(({ name }) => name === host), {
          timeout: patienceMs,
        })
        .toMatchObject({ state: 'down' })
    const isOpen = async (id: string) =>
      (await persist(() => api.operationShow(admin(), { operation: id }))).finishedAt === undefined

    test('waits for the other host if that falls silent while it starts the guest: it may run there', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('start')
      hosts.freeze('a')
      await isDown('a')
      expect(await isOpen(operation)).toBe(true)
      expect(await hosts.machines('b')).toEqual(new Map())
      expect(await shown()).toMatchObject({ host: 'a', task: 'migrating' })

      hosts.freeze('a', false)
      const ended = await endOf(api, operation)
      expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded' })
      await runsOn('a')
    })

    test('arrives though the daemon of its own host is killed while it shuts the guest down', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('stop')
      await hosts.killAndRestart('a')
      const ended = await endOf(api, operation)
      expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded' })
      expect(begunSteps(ended).filter((step) => step === 'stop a').length).toBeGreaterThan(1)
      await runsOn('b')
    })

    test('waits for its own host if that falls silent while it sends, and arrives when it goes on', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('send')
      hosts.freeze('b')
      await isDown('b')
      expect(await isOpen(operation)).toBe(true)
      expect(await hosts.machines('a')).toEqual(new Map())

      hosts.freeze('b', false)
      const ended = await endOf(api, operation)
      expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded' })
      await runsOn('a')
    })

    test('is done though its former host falls silent before it cleans up, which happens when that goes on', {
      timeout: 240_000,
    }, async () => {
      const operation = await migrateTo('clean')
      hosts.freeze('a')
      const ended = await endOf(api, operation)
      expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded' })
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host: 'b', power: 'RUNNING' })
      hosts.freeze('a', false)
      await expectOnlyOn('b', web, true)
    })

    test('arrives though the daemon of its own host is killed while it sends', { timeout: 240_000 }, async () => {
      const operation = await migrateTo('send')
      await hosts.killAndRestart('b')
      const ended = await endOf(api, operation)
      expect(ended).toMatchObject({ state: 'succeeded' })
      expect(begunSteps(ended).filter((step) => step === 'send b').length).toBeGreaterThan(1)
      expect(await shown()).toMatchObject({ status: 'ACTIVE', host: 'a', power: 'RUNNING' })
      // The guest reads what is typed when it has come up.
      const answer = async () => {
        await type('echo disk: $(head -n 1 /dev/vda) again')
        return consoleOf()
      }
      await expect.poll(answer, { timeout: patienceMs, interval: 500 }).toMatch(/^disk: the-mark-of-web again/m)
      await expectOnlyOn('a', web, true)
      await ok('stop', 'web', '--wait')
      await qemuIo('a', `read ${smaller}`)
    })

    test('a boot that a silent host never took up goes to another one, and nothing is built on the first', {
      timeout: 240_000,
    }, async () => {
      hosts.freeze('b')
      // The instance on host a makes b the better choice while it still counts as up.
      const { begun } = await api.boot(admin(), {
        name: 'late',
        image: 'guest',
        flavor: 'm1.nano',
        idempotencyKey: 'late',
      })
      const ended = await endOf(api, begun[0]?.operation ?? '')
      expect(ended).toMatchObject({ state: 'succeeded' })
      const late = await shown('late')
      expect(late).toMatchObject({ status: 'ACTIVE', host: 'a' })
      expect(begunSteps(ended)).toEqual(expect.arrayContaining(['place b', 'place a']))
      hosts.freeze('b', false)
      await expect
        .poll(async () => (await api.hostList(admin(), {})).hosts.map(({ state }) => state), { timeout: patienceMs })
        .toEqual(['up', 'up'])
      // What was sent to b lies in its queue: this comes behind it.
      await api.begin(admin(), { instance: 'web', kind: 'migrate', args: { host: 'b' } })
      await becomes({ status: 'SHUTOFF', host: 'b' })
      await expectOnlyOn('a', late.id, true)
      await expectOnlyOn('b', web, false)
      for (const name of ['late', 'web']) await ok('delete', name, '--wait')
      for (const host of hostNames) expect([...(await hosts.machines(host)).keys()]).toEqual([])
      await expectCapacity()
    })
  })
else test('no virtual machine without QEMU', () => expect(process.env.NOVA_REQUIRE ?? '').not.toContain('qemu'))
