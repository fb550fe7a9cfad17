import { exec } from '../../base/exec.ts'
import { type AcceleratorChoice, chooseAccelerator } from './accelerator.ts'

export const defaultBinary = 'qemu-system-x86_64'
export const defaultQemuImg = 'qemu-img'

/** What this host has of QEMU, for people: `nova doctor` and the choice of a driver. */
export type QemuProbe =
  | ({ found: true; version: string } & AcceleratorChoice)
  /** `fix` is the command that installs what is missing. */
  | { found: false; why: string; fix: string }

/** The version of QEMU, as `7.2.22`; undefined if it cannot be run. */
export async function qemuVersion(binary: string): Promise<string | undefined> {
  const { code, stdout } = await exec(binary, ['--version'], { timeoutMs: 10_000 })
  return code === 0 ? (/version (\d[\d.]*)/.exec(stdout)?.[1] ?? 'unknown') : undefined
}

type Programs = { qemuBinary?: string | undefined; qemuImg?: string | undefined }

/** QEMU's version if its programs can be run here, or what is missing and how to fix that. Never fails. */
export async function findQemu({
  qemuBinary = defaultBinary,
  qemuImg = defaultQemuImg,
}: Programs): Promise<{ found: true; version: string } | Extract<QemuProbe, { found: false }>> {
  const [version, img] = await Promise.all([qemuVersion(qemuBinary), qemuVersion(qemuImg)])
  if (version !== undefined && img !== undefined) return { found: true, version }
  const missing = [
    ...(version === undefined ? [{ program: qemuBinary, package: 'qemu-system-x86' }] : []),
    ...(img === undefined ? [{ program: qemuImg, package: 'qemu-utils' }] : []),
  ]
  return {
    found: false,
    why: `${missing.map((m) => m.program).join(' and ')} cannot be run here`,
    fix: `apt-get install -y --no-install-recommends ${missing.map((m) => m.package).join(' ')}`,
  }
}

/**
 * Looks whether guests can be run here, and how; tries KVM by running a small guest, unless the answer stands in
 * `file`, which the driver keeps as well. Never fails.
 */
export async function probeQemu(options: Programs & { file?: string } = {}): Promise<QemuProbe> {
  const { file, qemuBinary: binary = defaultBinary } = options
  const qemu = await findQemu(options)
  if (!qemu.found) return qemu
  return { ...qemu, ...(await chooseAccelerator({ binary, qemuVersion: qemu.version, file })) }
}
