import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Cloud } from '../kit/cloud.ts'
import { failingKvm } from '../kit/failing-kvm.ts'
import { missing } from '../kit/missing.ts'
import { persist } from '../kit/patience.ts'
import { qemu } from '../kit/qemu.ts'

/** Undefined, and said aloud, if this machine has no KVM that a wrapper can pretend to use. */
function kvm(): true | undefined {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return true
  } catch {
    return missing('kvm', 'there is no /dev/kvm that this user may use')
  }
}

type Check = { check: string; state: string; found: string; fix: string }

const ready = (await qemu()) !== undefined && kvm() !== undefined
describe.runIf(ready)('a cloud on a machine whose KVM fails', { timeout: 180_000 }, () => {
  let dir: string
  let cloud: Cloud
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'nova-kvm-'))
    cloud = await Cloud.open('embedded', {
      PATH: `${dir}:${process.env.PATH}`,
      NOVA_SERVICES_HEARTBEAT_SECONDS: '1',
      // The wrapper notes its runs where no user of a guest may write.
      NOVA_COMPUTE_GUEST_UID_COUNT: '0',
    })
  })
  afterEach(async () => {
    await cloud.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const runs = () => readFileSync(join(dir, 'runs'), 'utf8').trim().split('\n')
  const memory = () => join(cloud.stateDir, 'accelerator.json')
  const accelerator = async () => {
    const { stdout } = await cloud.nova('doctor', '-f', 'json')
    return (JSON.parse(stdout) as Check[]).find(({ check }) => check === 'accelerator')
  }

  test('under the probe: one probe for compute and doctor, and one memory', async () => {
    await failingKvm(dir, 'fails')
    expect(await accelerator()).toMatchObject({
      state: 'warning',
      found: 'TCG: KVM cannot run guests here: KVM internal error. Suberror: 1, emulation failure',
      fix: expect.stringContaining(`rm ${memory()}`),
    })
    await cloud.up('--driver', 'qemu')
    await accelerator()
    expect(runs()).toEqual(['probe'])
    expect(await cloud.json('host', 'show', 'host')).toMatchObject({ accelerator: 'tcg' })
  })

  test('under the probe, by taking too long: nothing is remembered, and doctor tells when KVM works again', async () => {
    await failingKvm(dir, 'hangs')
    await cloud.up('--driver', 'qemu')
    expect(existsSync(memory())).toBe(false)
    expect(await cloud.json('host', 'show', 'host')).toMatchObject({ accelerator: 'tcg' })
    expect(await accelerator()).toMatchObject({ state: 'warning', found: 'TCG: KVM ran no small guest within 5 s' })
    await failingKvm(dir, 'runs')
    expect(await accelerator()).toMatchObject({ state: 'warning', fix: expect.stringContaining('nova down; nova up') })
  })

  test('under a guest: boot --wait ends with a guest that runs, and the host tells why it is slow', async () => {
    await failingKvm(dir, 'runs')
    await cloud.up('--driver', 'qemu')
    expect(await accelerator()).toMatchObject({ state: 'ok' })
    expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })
    await persist(async () => {
      expect((await cloud.nova('console-log', 'web')).stdout).toContain('GUEST-READY')
    })
    const why = 'KVM cannot run guests here: KVM internal error. Suberror: 1, emulation failure'
    await persist(async () => {
      const events = await cloud.json<Array<{ type: string; message: string | null }>>('event', 'list')
      expect(events.filter(({ type }) => /accelerator|power_changed/.test(type))).toMatchObject([
        { type: 'host.accelerator_changed', message: `kvm → tcg: ${why}` },
      ])
    })
    expect(await cloud.json('list')).toMatchObject([{ name: 'web', status: 'ACTIVE', power: 'RUNNING' }])
    expect(await accelerator()).toMatchObject({ state: 'warning', found: `TCG: ${why}` })
    expect(runs()).toEqual(['probe', 'kvm', 'tcg'])
  })
})
