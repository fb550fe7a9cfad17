import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../src/core/base/exec.ts'
import { probeQemu } from '../../src/core/virt/qemu/probe.ts'
import { missing } from './missing.ts'

/** The tiny guest's files. */
export type TinyGuest = { kernel: string; ramdisk: string }

const root = join(import.meta.dirname, '..', '..')
const dir = join(root, '.guest')

/**
 * The tiny guest, built into `.guest/` on first use. Undefined, and said aloud, where this machine has no QEMU or cannot
 * build the guest; an error where NOVA_REQUIRE names qemu.
 */
export async function qemu(): Promise<TinyGuest | undefined> {
  const why = await whatIsMissing()
  if (why !== undefined) return missing('qemu', why)
  return { kernel: join(dir, 'vmlinuz'), ramdisk: join(dir, 'initrd.img') }
}

async function whatIsMissing(): Promise<string | undefined> {
  const found = await probeQemu()
  if (!found.found) return `${found.why}. ${found.fix}`
  const build = await exec(join(root, 'tools', 'guest', 'build.sh'), [dir], { timeoutMs: 120_000 })
  if (build.code === 0 && existsSync(join(dir, 'vmlinuz'))) return undefined
  return build.stderr.trim()
}
