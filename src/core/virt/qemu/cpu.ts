import { fail } from '../../base/errors.ts'
import { exec } from '../../base/exec.ts'
import { nearest } from '../../base/near.ts'
import type { Accelerator } from './arguments.ts'

/** All that the processor of the host can do, or all that QEMU can imitate. */
const defaults: Readonly<Record<Accelerator, string>> = { kvm: 'host', tcg: 'max' }

/** QEMU's name for the processor of a guest: the configured model, or the accelerator's default if that is empty. */
export const cpuModel = (configured: string, accelerator: Accelerator): string => configured || defaults[accelerator]

/** Fails with `ConfigInvalid` if this QEMU does not know the model. */
export async function checkCpuModel(binary: string, model: string): Promise<void> {
  if (model === '') return
  const { stdout } = await exec(binary, ['-cpu', 'help'], { timeoutMs: 10_000 })
  const known = [...stdout.matchAll(/^x86 (\S+)/gm)].map(([, name]) => name ?? '')
  if (known.includes(model)) return
  const meant = nearest(model, known)
  fail('ConfigInvalid', {
    key: 'compute.cpu_model',
    value: model,
    allowed: `a name from "${binary} -cpu help"${meant.length > 0 ? `, as ${meant.join(' or ')}` : ''}`,
    source: 'driver',
  })
}
