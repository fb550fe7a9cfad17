import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { chooseAccelerator } from '../../../../src/core/virt/qemu/accelerator.ts'
import { probeQemu } from '../../../../src/core/virt/qemu/probe.ts'
import { qemu } from '../../../kit/qemu.ts'

let dir: string
let device: string
let binary: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nova-accel-'))
  device = join(dir, 'kvm')
  binary = join(dir, 'qemu')
  await writeFile(device, '')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

/** A QEMU that notes each run and ends in this way. */
async function qemuThat(ends: string): Promise<void> {
  await writeFile(binary, `#!/bin/sh\necho "$@" >>${dir}/runs\n${ends}\n`)
  await chmod(binary, 0o755)
}
const runs = async () => (await readFile(join(dir, 'runs'), 'utf8').catch(() => '')).split('\n').length - 1
const choose = (qemuVersion = '7.2') => chooseAccelerator({ binary, qemuVersion, stateDir: dir, device })

test('KVM where a guest ran on it, asked once', async () => {
  await qemuThat('exit 33')
  expect(await choose()).toEqual({ accelerator: 'kvm', why: 'a guest of one sector ran on KVM' })
  expect((await choose()).accelerator).toBe('kvm')
  expect(await runs()).toBe(1)
})

test('TCG where KVM opens and runs nothing, and the reason is remembered', async () => {
  await qemuThat('echo "qemu-system-x86_64: error: failed to set MSR" >&2; exit 134')
  const choice = { accelerator: 'tcg', why: expect.stringContaining('failed to set MSR') }
  expect(await choose()).toEqual(choice)
  expect(await choose()).toEqual(choice)
  expect(await runs()).toBe(1)
})

test('asked again when QEMU is another', async () => {
  await qemuThat('exit 1')
  await choose('7.2')
  await choose('9.0')
  expect(await runs()).toBe(2)
})

test('asked again when the note is broken', async () => {
  await qemuThat('exit 33')
  await writeFile(join(dir, 'accelerator.json'), '{"here":')
  expect((await choose()).accelerator).toBe('kvm')
})

test('TCG without asking where there is no device', async () => {
  await rm(device)
  expect(await choose()).toEqual({ accelerator: 'tcg', why: `there is no ${device}` })
})

test('the probe says what to install', async () => {
  expect(await probeQemu({ qemuBinary: '/no/qemu' })).toMatchObject({
    found: false,
    why: expect.stringContaining('/no/qemu'),
    fix: expect.stringMatching(/apt-get install .* qemu-system-x86/),
  })
})

test.runIf(await qemu())('the guest of one sector runs on the QEMU that is here', async () => {
  const runAnywhere = join(dir, 'tcg')
  await writeFile(
    runAnywhere,
    '#!/bin/sh\nexec qemu-system-x86_64 $(echo "$@" | sed "s/-accel kvm -cpu host/-accel tcg -cpu max/")\n',
  )
  await chmod(runAnywhere, 0o755)
  expect(await chooseAccelerator({ binary: runAnywhere, qemuVersion: '1', stateDir: undefined, device })).toMatchObject(
    {
      accelerator: 'kvm',
    },
  )
  expect(await probeQemu()).toMatchObject({ found: true, version: expect.stringMatching(/^\d+\.\d+/) })
})
