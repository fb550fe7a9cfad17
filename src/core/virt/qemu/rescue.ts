import { rename, stat } from 'node:fs/promises'
import { readLog } from './console.ts'
import type { QemuHost } from './host.ts'
import { kvmTrouble } from './kvm-trouble.ts'
import { internalError, runState } from './machine.ts'
import { readRecord } from './record.ts'
import { checkFiles, launchGuest, type StartDeps } from './start.ts'

/** A KVM that fails does so while a guest boots, which takes minutes if each instruction is emulated. */
const provenAfterMs = 600_000

/**
 * Starts a guest again without KVM, if KVM itself failed under it: its machine stands still for ever (`internal-error`),
 * or has `ended` by itself. It boots from its disk, as after a power cut. The host uses KVM no more from then on, unless
 * KVM has proven itself with another guest. Nothing is done if the guest runs, was stopped meanwhile, or failed for another
 * reason.
 */
export async function rescueGuest(deps: StartDeps, id: string, ended: boolean): Promise<void> {
  const { host, accelerators } = deps
  const paths = host.paths(id)
  const record = await readRecord(paths)
  // Under TCG it cannot be KVM; whatever it is, starting over and over would not end.
  if (!record || record.accelerator === 'tcg') return
  const machine = await host.machine(id)
  if (ended ? machine : !machine || (await runState(machine.qmp)) !== internalError) return
  const trouble = kvmTrouble(await readLog(paths.log))
  if (!trouble?.lasting || accelerators.insistsOnKvm) return
  await checkFiles(record, paths)
  if (!(await kvmIsProven(host, id))) await accelerators.giveUpKvm(trouble.why)
  host.log.warn({ instance: id, why: trouble.why }, 'KVM failed under a guest; it is started again under TCG')
  await host.kill(id)
  await rename(paths.log, paths.kvmLog)
  await launchGuest(deps, record, 'tcg')
}

/** Whether another guest has run on KVM for long: then it is this guest that is at fault, and its tenant is not to slow down others. */
async function kvmIsProven(host: QemuHost, but: string): Promise<boolean> {
  const others = host.attached().filter(({ id, power }) => id !== but && power === 'RUNNING')
  const proofs = others.map(async ({ id }) => {
    const paths = host.paths(id)
    const [record, started] = await Promise.all([readRecord(paths), stat(paths.pid).catch(() => undefined)])
    return record?.accelerator === 'kvm' && started !== undefined && host.clock.now() - started.mtimeMs > provenAfterMs
  })
  return (await Promise.all(proofs)).includes(true)
}
