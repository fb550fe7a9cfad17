import { access, constants, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../../base/exec.ts'
import type { Accelerator } from './arguments.ts'

/** Which accelerator is to be used on this host, and the reason in a person's words. */
export type AcceleratorChoice = { accelerator: Accelerator; why: string }

/**
 * A boot sector that goes from real mode over page tables to 64-bit mode, as a kernel does, counts to a million in
 * memory, asks the processor for its name and ends QEMU through the debug port 0xf4 with the value 0x10:
 *
 *   cli; ds = es = ss = 0; sp = 0x7c00; clear 0x1000..0x3fff; [0x1000] = 0x2003; [0x2000] = 0x3003; [0x3000] = 0x83
 *   lgdt; cr4 |= PAE; cr3 = 0x1000; EFER |= LME; cr0 |= PG | PE; jump to the 64-bit segment
 *   ecx = 1000000; 1: add [0x5000], rcx; loop 1b; cpuid(0); out 0xf4, 0x10; hlt
 */
const bootSector =
  'fa31c08ed88ec08ed0bc007cfcbf0010b90018f3abc70600100320c70600200330c706003083000f0116887c0f20e00c200f22e066b80010' +
  '00000f22d866b9800000c00f3280cc010f300f20c0660d010000800f22c0ea5b7c0800b940420f0048010c2500500000e2f631c00fa266ba' +
  'f400b010eef46690000000000000000000000000009a20000f00787c0000'

/** QEMU's exit code when a guest writes `n` to the debug port is 2n + 1. */
const bootedCode = 2 * 0x10 + 1
const probeTimeoutMs = 5_000

/** Runs a guest of one sector; undefined where it ran, else why it did not. */
async function runProbe(binary: string, accelerator: Accelerator): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'nova-probe-'))
  try {
    const image = join(dir, 'boot.img')
    // The firmware takes nothing smaller than a megabyte for a disk.
    const bytes = Buffer.alloc(1 << 20)
    bytes.write(bootSector, 'hex')
    bytes.writeUInt16LE(0xaa55, 510)
    await writeFile(image, bytes)
    const drive = JSON.stringify({ driver: 'raw', 'node-name': 'boot', file: { driver: 'file', filename: image } })
    const words = `-machine q35 -nodefaults -no-user-config -display none -m 32 -accel ${accelerator} -cpu ${
      accelerator === 'kvm' ? 'host' : 'max'
    } -device virtio-blk-pci,drive=boot,bootindex=0 -device isa-debug-exit,iobase=0xf4,iosize=4`
    const run = await exec(binary, [...words.split(' '), '-blockdev', drive], { timeoutMs: probeTimeoutMs })
    if (run.code === bootedCode) return undefined
    if (run.code === 124) return `a guest of one sector did not end within ${probeTimeoutMs / 1000} s`
    return run.stderr.split('\n').find((line) => line.includes('qemu')) ?? `QEMU ended with code ${run.code}`
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/**
 * Chooses KVM where it can really run a guest, TCG elsewhere: there are hosts where /dev/kvm opens, answers, and runs
 * nothing. With `stateDir` the answer is remembered there until QEMU, kernel or processor change.
 */
export async function chooseAccelerator(asked: {
  binary: string
  qemuVersion: string
  stateDir: string | undefined
  device?: string
}): Promise<AcceleratorChoice> {
  const { binary, qemuVersion, stateDir, device = '/dev/kvm' } = asked
  try {
    await access(device, constants.R_OK | constants.W_OK)
  } catch (e) {
    const missing = (e as NodeJS.ErrnoException).code === 'ENOENT'
    return { accelerator: 'tcg', why: missing ? `there is no ${device}` : `no permission to use ${device}` }
  }
  const here = [qemuVersion, release(), cpus()[0]?.model ?? ''].join(' | ')
  const file = stateDir === undefined ? undefined : join(stateDir, 'accelerator.json')
  const known = file === undefined ? undefined : await remembered(file)
  if (known?.here === here) return { accelerator: known.accelerator, why: known.why }
  const failure = await runProbe(binary, 'kvm')
  const choice: AcceleratorChoice =
    failure === undefined
      ? { accelerator: 'kvm', why: 'a guest of one sector ran on KVM' }
      : { accelerator: 'tcg', why: `KVM cannot run a guest here: ${failure}` }
  if (file !== undefined && stateDir !== undefined) {
    await mkdir(stateDir, { recursive: true })
    await writeFile(`${file}.part`, `${JSON.stringify({ here, ...choice }, null, 2)}\n`)
    await rename(`${file}.part`, file)
  }
  return choice
}

type Remembered = AcceleratorChoice & { here: string }

async function remembered(file: string): Promise<Remembered | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Remembered
  } catch {
    // Absent or broken: ask again.
    return undefined
  }
}
