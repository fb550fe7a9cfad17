import { createConnection } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findMachines } from '../../src/core/virt/qemu/process.ts'
import { Cloud } from '../kit/cloud.ts'
import { qemu } from '../kit/qemu.ts'

/**
 * Invariants I2 and I4 on real machines: SIGKILL to the whole cloud while it changes a guest, daemons that stop and start
 * under a running guest, and guests that end by themselves.
 */
const guest = await qemu()
const patienceMs = 30_000

if (guest)
  describe('a virtual machine outlives its daemons', () => {
    let cloud: Cloud
    afterEach(() => cloud?.close(), 60_000)

    const open = async () => {
      cloud = await Cloud.open('embedded', { NOVA_LOG_LEVEL: 'silent', NOVA_COMPUTE_SHUTDOWN_TIMEOUT: '2' })
    }
    const hostDir = () => join(cloud.stateDir, 'compute', 'host')
    /** The process ids of all QEMU machines of this cloud. */
    const machines = async (): Promise<number[]> => [...(await findMachines(hostDir())).values()]
    const ok = async (...args: string[]) => {
      const ran = await cloud.nova(...args)
      expect(ran, ran.stderr).toMatchObject({ code: 0 })
      return ran.stdout.trim()
    }
    const importGuest = () =>
      ok('image', 'create', 'guest', '--kernel', guest.kernel, '--ramdisk', guest.ramdisk, '--min-memory', '96')
    const boot = ['boot', 'web', '--image', 'guest', '--flavor', 'm1.nano']
    /** `GONE` where there is no such instance; with the task while one is under way. */
    const status = async (): Promise<string> => {
      const { code, stdout } = await cloud.nova('show', 'web', '-f', 'json')
      if (code !== 0) return 'GONE'
      const { status, task } = JSON.parse(stdout) as { status: string; task: string | null }
      return task === null ? status : `${status} (${task})`
    }
    const becomes = (wanted: string) => expect.poll(status, { timeout: patienceMs, interval: 300 }).toBe(wanted)
    const consoleSays = (text: RegExp) =>
      expect
        .poll(async () => (await cloud.nova('console-log', 'web')).stdout, { timeout: patienceMs, interval: 500 })
        .toMatch(text)
    /** Types a line on the guest's serial console, as somebody at its keyboard would. */
    const type = async (line: string) => {
      const { id } = await cloud.json<{ id: string }>('show', 'web')
      const keyboard = createConnection(join(hostDir(), 'instances', id, 'run', 'serial.sock'))
      await new Promise<void>((resolve, reject) => {
        keyboard.on('error', reject).end(`\n${line}\n`, () => resolve())
      })
    }

    test('the cloud is killed during each change: each ends as asked, with one machine or none', {
      timeout: 180_000,
    }, async () => {
      await open()
      let up = await cloud.upInFront('--driver', 'qemu')
      await importGuest()
      const story: Array<[command: string[], status: string, machines: number]> = [
        [boot, 'ACTIVE', 1],
        [['pause', 'web'], 'PAUSED', 1],
        [['unpause', 'web'], 'ACTIVE', 1],
        [['suspend', 'web'], 'SUSPENDED', 0],
        [['resume', 'web'], 'ACTIVE', 1],
        [['stop', 'web'], 'SHUTOFF', 0],
        [['start', 'web'], 'ACTIVE', 1],
        [['reboot', 'web', '--hard'], 'ACTIVE', 1],
        [['delete', 'web'], 'GONE', 0],
      ]
      for (const [command, wanted, count] of story) {
        await ok(...command)
        await up.kill()
        up = await cloud.upInFront('--driver', 'qemu')
        await becomes(wanted)
        expect(await machines(), command.join(' ')).toHaveLength(count)
      }
    })

    test('it runs on while the cloud is down, is taken up again, and its own end is seen', {
      timeout: 180_000,
    }, async () => {
      await open()
      await cloud.up('--driver', 'qemu')
      await importGuest()
      await ok(...boot, '--wait')
      await consoleSays(/GUEST-READY/)
      const [machine] = await machines()
      await type('while :; do echo tick-$((n+=1)); sleep 0.2; done &')
      await consoleSays(/tick-2\b/)

      await ok('down')
      expect(await machines()).toEqual([machine])
      await cloud.up('--driver', 'qemu')
      await ok('pause', 'web', '--wait')
      expect(await status()).toBe('PAUSED')
      await ok('unpause', 'web', '--wait')
      const ticks = (await cloud.nova('console-log', 'web')).stdout.match(/tick-\d+/g)?.length ?? 0
      await consoleSays(new RegExp(`tick-${ticks + 5}\\b`))
      expect(await machines()).toEqual([machine])

      await type('poweroff -f')
      await becomes('SHUTOFF')
      await ok('start', 'web', '--wait')

      // Its process is gone when the cloud comes back, as after the host's own restart.
      await ok('down')
      for (const pid of await machines()) process.kill(pid, 'SIGKILL')
      await cloud.up('--driver', 'qemu')
      await becomes('SHUTOFF')
      await ok('start', 'web', '--wait')
      expect(await machines()).toHaveLength(1)
      await ok('delete', 'web', '--wait')
      expect(await machines()).toEqual([])
    })
  })
else test('no virtual machine without QEMU', () => expect(process.env.NOVA_REQUIRE ?? '').not.toContain('qemu'))
