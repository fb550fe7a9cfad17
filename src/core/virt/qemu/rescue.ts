import { rename } from 'node:fs/promises'
import { readLog } from './console.ts'
import { kvmTrouble } from './kvm-trouble.ts'
import { internalError, runState } from './machine.ts'
import { readRecord } from './record.ts'
import { bootGuest, type StartDeps } from './start.ts'

/**
 * Starts a guest again without KVM, if KVM itself failed under it: its machine stands still for ever (`internal-error`),
 * or has `ended` by itself. It boots from its disk, as after a power cut. This host uses KVM no more from then on. Nothing
 * is done if the guest runs, was stopped meanwhile, or failed for another reason.
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
  if (!trouble?.lasting || !(await accelerators.giveUpKvm(trouble.why))) return
  host.log.warn({ instance: id, why: trouble.why }, 'KVM failed under a guest; it is started again under TCG')
  await host.kill(id)
  await rename(paths.log, paths.kvmLog)
  await bootGuest(deps, record, paths)
}
