import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { acceleratorFile, chooseAccelerator } from '../../../../src/core/virt/qemu/accelerator.ts'
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
const choose = (qemuVersion = '7.2', probeTimeoutMs = 5_000) =>
  chooseAccelerator({ binary, qemuVersion, file: acceleratorFile(dir), device, probeTimeoutMs })

test('KVM where a guest ran on it, asked once', async () => {
  await qemuThat('exit 33')
  expect(await choose()).toEqual({ accelerator: 'kvm', why: 'a small guest ran on KVM' })
  expect((await choose()).accelerator).toBe('kvm')
  expect(await runs()).toBe(1)
})

test('TCG where KVM opens and runs nothing; the reason is remembered, and how to forget it is told', async () => {
  await qemuThat('echo "qemu-system-x86_64: error: failed to set MSR" >&2; exit 134')
  const choice = {
    accelerator: 'tcg',
    why: 'KVM cannot run guests here: error: failed to set MSR',
    fix: expect.stringContaining(`rm ${acceleratorFile(dir)}`),
  }
  expect(await choose()).toEqual(choice)
  expect(await choose()).toEqual(choice)
  expect(await runs()).toBe(1)
})

test('TCG where KVM fails under the small guest: QEMU lives on then, and is not waited for', async () => {
  await qemuThat('echo "KVM internal error. Suberror: 1" >&2; exec sleep 60')
  const began = Date.now()
  expect(await choose('7.2', 30_000)).toMatchObject({
    accelerator: 'tcg',
    why: 'KVM cannot run guests here: KVM internal error. Suberror: 1, emulation failure',
  })
  expect(Date.now() - began).toBeLessThan(15_000)
  await choose()
  expect(await runs()).toBe(1)
})

test('a probe that runs out of time is no answer: TCG for now, nothing remembered, tried again', async () => {
  await qemuThat('exec sleep 60')
  expect(await choose('7.2', 300)).toEqual({
    accelerator: 'tcg',
    why: 'KVM ran no small guest within 0.3 s',
    fix: expect.stringContaining('nova down; nova up'),
  })
  await expect(readFile(acceleratorFile(dir))).rejects.toThrow('ENOENT')
  await qemuThat('exit 33')
  expect((await choose()).accelerator).toBe('kvm')
})

test('asked again when QEMU is another', async () => {
  await qemuThat('exit 1')
  await choose('7.2')
  await choose('9.0')
  expect(await runs()).toBe(2)
})

test('asked again when the note is broken, and when it was written by a probe that tried less', async () => {
  await qemuThat('exit 33')
  await writeFile(acceleratorFile(dir), '{"here":')
  expect((await choose()).accelerator).toBe('kvm')
  const note = JSON.parse(await readFile(acceleratorFile(dir), 'utf8')) as { here: string }
  const old = { ...note, accelerator: 'tcg', here: note.here.replace(/ \| probe \d+$/, '') }
  await writeFile(acceleratorFile(dir), JSON.stringify(old))
  expect((await choose()).accelerator).toBe('kvm')
  expect(await runs()).toBe(2)
})

test('TCG without asking where there is no device', async () => {
  await rm(device)
  expect(await choose()).toMatchObject({
    accelerator: 'tcg',
    why: `there is no ${device}`,
    fix: expect.stringContaining('virtualisation'),
  })
})

// Root may use any device.
test.runIf(process.getuid?.() !== 0)('without permission the group is what to do about it', async () => {
  await chmod(device, 0o060)
  expect(await choose()).toMatchObject({ accelerator: 'tcg', fix: expect.stringMatching(/^As root: adduser \S+ kvm/) })
})

test('the probe says what to install', async () => {
  expect(await probeQemu({ qemuBinary: '/no/qemu' })).toMatchObject({
    found: false,
    why: expect.stringContaining('/no/qemu'),
    fix: expect.stringMatching(/apt-get install .* qemu-system-x86/),
  })
})

test.runIf(await qemu())('the small guest runs on the QEMU that is here', async () => {
  const runAnywhere = join(dir, 'tcg')
  await writeFile(
    runAnywhere,
    '#!/bin/sh\nexec qemu-system-x86_64 $(echo "$@" | sed "s/-accel kvm -cpu host/-accel tcg -cpu max/")\n',
  )
  await chmod(runAnywhere, 0o755)
  const asked = { binary: runAnywhere, qemuVersion: '1', file: undefined, device, probeTimeoutMs: 30_000 }
  expect(await chooseAccelerator(asked)).toMatchObject({ accelerator: 'kvm' })
  expect(await probeQemu()).toMatchObject({ found: true, version: expect.stringMatching(/^\d+\.\d+/) })
})
