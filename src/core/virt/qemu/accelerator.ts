import { access, constants, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { exec } from '../../base/exec.ts'
import { shellWord } from '../../base/shell-word.ts'
import type { Accelerator } from './arguments.ts'
import { kvmTrouble } from './kvm-trouble.ts'
import { bootedWell, probeFirmware } from './probe-guest.ts'

/** Which accelerator is to be used on this host, the reason in a person's words, and what to do for a faster one. */
export type AcceleratorChoice = { accelerator: Accelerator; why: string; fix?: string }

/** What the choice depends on. `file` is this machine's memory of the answer; if unset, nothing is remembered. */
export type AcceleratorAsk = {
  binary: string
  qemuVersion: string
  file: string | undefined
  device?: string | undefined
  probeTimeoutMs?: number | undefined
}

/** The memory of answers, in a directory. */
export const acceleratorFile = (dir: string): string => join(dir, 'accelerator.json')

/** Raised when the probe tries more than before: what an older one found does not hold then. */
const probeRevision = 2

/** QEMU's exit code when a guest writes `n` to the debug port is 2n + 1. */
const bootedCode = 2 * bootedWell + 1
const defaultProbeTimeoutMs = 5_000

const enable = 'For KVM, enable virtualisation in the firmware, or nested virtualisation in the outer hypervisor.'

type Probed = 'ran' | 'late' | { failure: string }

/**
 * Runs a small guest on KVM, with the processor that guests get. It has the instructions that a kernel's start has and that
 * are known to fail, and is not a whole kernel: it is always there, also before the first image, and needs a tenth of a
 * second. What it misses is found when a guest fails: see `rescue.ts`.
 */
async function runProbe({ binary, probeTimeoutMs = defaultProbeTimeoutMs }: AcceleratorAsk): Promise<Probed> {
  const dir = await mkdtemp(join(tmpdir(), 'nova-probe-'))
  try {
    const firmware = join(dir, 'firmware')
    await writeFile(firmware, probeFirmware())
    // A guest that falls over ends QEMU, instead of starting over and over.
    const words =
      '-machine q35 -nodefaults -no-user-config -no-reboot -display none -m 32 -accel kvm -cpu host ' +
      '-device isa-debug-exit,iobase=0xf4,iosize=4 -bios'
    // After an error of KVM itself QEMU lives on with a guest that stands still.
    const stopAt = (printed: string) => kvmTrouble(printed) !== undefined
    const run = await exec(binary, [...words.split(' '), firmware], { timeoutMs: probeTimeoutMs, stopAt })
    if (run.code === bootedCode) return 'ran'
    const failure = kvmTrouble(run.stderr)?.why
    if (failure === undefined && run.code === 124) return 'late'
    const why = failure ?? run.stderr.split('\n').find((line) => line.includes('qemu'))
    return { failure: why ?? `QEMU ended with code ${run.code}` }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/**
 * Chooses KVM if it can really run a guest, else TCG: there are hosts where /dev/kvm opens, answers, and runs
 * nothing. The answer is remembered until QEMU, kernel or processor change. A probe that ran out of time, on a busy
 * machine, is no answer: TCG is taken for now, and the next one who asks tries again.
 */
export async function chooseAccelerator(ask: AcceleratorAsk): Promise<AcceleratorChoice> {
  const { device = '/dev/kvm', file, probeTimeoutMs = defaultProbeTimeoutMs } = ask
  const closed = await whyClosed(device)
  if (closed) return { accelerator: 'tcg', ...closed }
  const known = file === undefined ? undefined : await remembered(file)
  if (known?.here === thisMachine(ask)) return choiceOf(known, file)
  const probed = await runProbe(ask)
  if (probed === 'ran') return remember(ask, { accelerator: 'kvm', why: 'a small guest ran on KVM' })
  if (probed !== 'late') return rememberKvmFails(ask, probed.failure)
  return {
    accelerator: 'tcg',
    why: `KVM ran no small guest within ${probeTimeoutMs / 1000} s`,
    fix: 'This machine may have been busy. KVM is tried again at the next start: nova down; nova up',
  }
}

/** Notes that KVM cannot run guests on this machine, so that nobody tries again until something about it changes. */
export const rememberKvmFails = (ask: AcceleratorAsk, why: string): Promise<AcceleratorChoice> =>
  remember(ask, { accelerator: 'tcg', why: `KVM cannot run guests here: ${why}` })

/** What makes an earlier answer hold. */
const thisMachine = ({ qemuVersion }: AcceleratorAsk): string =>
  [qemuVersion, release(), cpus()[0]?.model ?? '', `probe ${probeRevision}`].join(' | ')

/** Why KVM's device is not to be used; undefined if it may be. */
async function whyClosed(device: string): Promise<{ why: string; fix: string } | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK)
    return undefined
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return { why: `there is no ${device}`, fix: enable }
    const { mode } = await stat(device)
    // Debian gives the device to the group kvm, but not before there is that group.
    const group = (mode & 0o060) === 0o060 ? '' : `chgrp kvm ${device}; chmod 0660 ${device}; `
    const user = userInfo().username
    return {
      why: `no permission to use ${device}`,
      fix: `As root: ${group}adduser ${user} kvm; then log in again, nova down, nova up.`,
    }
  }
}

type Remembered = Pick<AcceleratorChoice, 'accelerator' | 'why'> & { here: string }

function choiceOf({ accelerator, why }: Omit<Remembered, 'here'>, file: string | undefined): AcceleratorChoice {
  if (accelerator === 'kvm') return { accelerator, why }
  const again = file === undefined ? '' : ` To try KVM again: rm ${shellWord(file)}; nova down; nova up`
  return { accelerator, why, fix: `${enable}${again}` }
}

async function remember(ask: AcceleratorAsk, found: Omit<Remembered, 'here'>): Promise<AcceleratorChoice> {
  const { file } = ask
  if (file !== undefined) {
    const part = `${file}.${process.pid}.part`
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(part, `${JSON.stringify({ here: thisMachine(ask), ...found }, null, 2)}\n`, { mode: 0o600 })
    await rename(part, file)
  }
  return choiceOf(found, file)
}

async function remembered(file: string): Promise<Remembered | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Remembered
  } catch {
    // Absent or broken: ask again.
    return undefined
  }
}
