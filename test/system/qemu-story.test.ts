import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type Backend, backends, Cloud } from '../kit/cloud.ts'
import { qemu } from '../kit/qemu.ts'

/** The README's story on a real QEMU guest, and the same with every daemon a process of its own. */
const guest = await qemu()
const available = await backends()
type Setting = { what: string; backend: Backend; apart: boolean }
const settings: Setting[] = [
  ...available.map((backend) => ({ what: `one process, ${backend}`, backend, apart: false })),
  ...(available.includes('services')
    ? [{ what: 'separate daemons, services', backend: 'services' as const, apart: true }]
    : []),
]

if (guest)
  describe.each(settings)('a virtual machine ($what)', ({ backend, apart }) => {
    let cloud: Cloud
    afterEach(() => cloud?.close(), 60_000)

    /** Waits for the guest to say it: the console is asked as a person would. */
    const consoleSays = async (text: string | RegExp): Promise<string> => {
      for (;;) {
        const { stdout } = await cloud.nova('console-log', 'web')
        if (stdout.match(text)) return stdout
        await new Promise((resolve) => setTimeout(resolve, 500))
      }
    }
    const ok = async (...args: string[]) => {
      const ran = await cloud.nova(...args)
      expect(ran, ran.stderr).toMatchObject({ code: 0 })
      return ran.stdout.trim()
    }
    const status = () => ok('show', 'web', '-f', 'value', '-c', 'status')

    test('boots, shows its console, is paused and let go on, suspended and resumed, stopped, started and deleted', {
      timeout: 240_000,
    }, async () => {
      cloud = await Cloud.open(backend, { NOVA_LOG_LEVEL: 'warn', NOVA_COMPUTE_SHUTDOWN_TIMEOUT: '20' })
      if (apart) {
        for (const name of ['conductor', 'scheduler']) await cloud.daemon(name)
        await cloud.daemon('compute', { NOVA_COMPUTE_DRIVER: 'qemu', NOVA_DATABASE_URL: '' })
      } else await cloud.up('--driver', 'qemu')
      await ok('image', 'create', 'guest', '--kernel', guest.kernel, '--ramdisk', guest.ramdisk, '--min-memory', '96')

      await ok('boot', 'web', '--image', 'guest', '--flavor', 'm1.nano', '--meta', 'role=front', '--wait')
      expect(await consoleSays('GUEST-READY')).toContain('host=web')
      await ok('pause', 'web', '--wait')
      expect(await status()).toBe('PAUSED')
      await ok('unpause', 'web', '--wait')
      expect(await status()).toBe('ACTIVE')

      await ok('suspend', 'web', '--wait')
      expect(await status()).toBe('SUSPENDED')
      await ok('resume', 'web', '--wait')
      expect(await status()).toBe('ACTIVE')

      await ok('stop', 'web', '--wait')
      expect(await status()).toBe('SHUTOFF')
      await ok('start', 'web', '--wait')
      expect(await status()).toBe('ACTIVE')
      await ok('delete', 'web', '--wait')
      expect((await cloud.nova('show', 'web')).code).toBe(1)
      // Root or database, never both: the host had none configured, and made none for itself.
      if (apart) expect(existsSync(join(cloud.stateDir, 'nova.sqlite'))).toBe(false)
    })
  })
else test('no virtual machine without QEMU', () => expect(process.env.NOVA_REQUIRE ?? '').not.toContain('qemu'))
