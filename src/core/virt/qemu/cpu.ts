import { fail } from '../../base/errors.ts'
import { exec } from '../../base/exec.ts'
import { nearest } from '../../base/near.ts'

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
