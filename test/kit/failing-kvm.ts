import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** How the wrapper answers the probe, a small guest: as a KVM that runs it, that fails on it, or that takes too long. */
export type ProbeAnswer = 'runs' | 'fails' | 'hangs'

/** How KVM fails under a guest: the machine stands still in `internal-error`, QEMU ends later, it does not start at all; or not. */
export type GuestEnd = 'stands still' | 'ends' | 'does not start' | 'never'

/**
 * Writes a program into `dir` that is QEMU (`qemu-system-x86_64`, so that it is found on a PATH that begins with `dir`) on a
 * machine whose KVM fails: it is the real QEMU for everything but `-accel kvm`. `failing-kvm-machine.mjs` plays what QEMU
 * is then. Each run is noted in `runs`, a line `probe`, `kvm` or `tcg`.
 */
export async function failingKvm(dir: string, probe: ProbeAnswer, end: GuestEnd = 'stands still'): Promise<string> {
  const path = join(dir, 'qemu-system-x86_64')
  const machine = join(import.meta.dirname, 'failing-kvm-machine.mjs')
  await writeFile(
    path,
    `#!/bin/sh
note() { echo "$1" >>'${dir}/runs'; }
case " $* " in
*isa-debug-exit*)
  note probe
  ${{ runs: 'exit 33', fails: 'echo "KVM internal error. Suberror: 1" >&2; echo "emulation failure" >&2; exec sleep 60', hangs: 'exec sleep 60' }[probe]} ;;
*" -accel kvm "*)
  note kvm
  exec '${process.execPath}' '${machine}' '${end}' "$@" ;;
esac
case " $* " in *" -accel "*) note tcg ;; esac
PATH=$(echo "$PATH" | sed 's#^${dir}:##') exec qemu-system-x86_64 "$@"
`,
  )
  await chmod(path, 0o755)
  return path
}
