import type { QemuHost } from './host.ts'
import { type Machine, runState } from './machine.ts'

async function runningMachine(host: QemuHost, id: string): Promise<Machine> {
  const machine = await host.machine(id)
  if (!machine) throw new Error('it does not run')
  return machine
}

/** Stops the guest's processors; its memory stays where it is. */
export async function pauseGuest(host: QemuHost, id: string): Promise<void> {
  const { qmp } = await runningMachine(host, id)
  if ((await runState(qmp)) !== 'paused') await qmp.execute('stop')
}

/** Lets the guest's processors go on. */
export async function unpauseGuest(host: QemuHost, id: string): Promise<void> {
  const { qmp } = await runningMachine(host, id)
  if ((await runState(qmp)) !== 'running') await qmp.execute('cont')
}
