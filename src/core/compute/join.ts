import { isFailure, reason } from '../base/errors.ts'
import { backoffMs } from '../base/retry.ts'
import type { agent } from '../contracts/agent.ts'
import { serviceContext } from '../model/context.ts'
import type { Args } from '../rpc/contract.ts'
import type { Resources } from '../virt/driver.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import type { Engine } from './engine.ts'
import type { PowerReports } from './power.ts'

type JoinDeps = Pick<
  ComputeDeps,
  | 'agent'
  | 'availabilityZone'
  | 'conductors'
  | 'clock'
  | 'driver'
  | 'host'
  | 'hostId'
  | 'ids'
  | 'incarnation'
  | 'log'
  | 'version'
>

/** What this host has to give, as the conductor is told. */
export function reportOf(
  driver: ComputeDeps['driver'],
  { vcpus, memoryMb, diskGb, hypervisor, hypervisorVersion, accelerator }: Resources,
): Args<typeof agent, 'hello'>['report'] {
  return { driver: driver.name, hypervisor, hypervisorVersion, accelerator, total: { vcpus, memoryMb, diskGb } }
}

/**
 * Tells the conductor that this host is there, again and again until it answers; then tells it what it has wrong about the
 * guests, lets operations in and takes up those that are this host's. Gives the accelerator that it told. `HostMismatch` where the name is another machine's.
 */
export async function join(
  deps: JoinDeps,
  engine: Engine,
  power: PowerReports,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (let n = 0; !signal.aborted; n++) {
    try {
      return await joinOnce(deps, engine, power)
    } catch (e) {
      if (isFailure(e, 'HostMismatch')) throw e
      deps.log.warn({ why: reason(e) }, 'could not join the cloud; trying again')
    }
    await deps.clock.sleep(backoffMs(n, deps.ids.random()), signal)
  }
  return undefined
}

async function joinOnce(deps: JoinDeps, engine: Engine, power: PowerReports): Promise<string> {
  const { agent, driver, hostId, ids, log, version, availabilityZone } = deps
  const ctx = serviceContext('compute', ids.requestId())
  const report = reportOf(driver, await driver.resources())
  const said = { ...selfOf(deps), hostId, version, availabilityZone, report }
  const { operations, instances, contracts } = await agent.hello(ctx, said)
  deps.conductors.learn(contracts)
  log.info({ instances: instances.length, operations: operations.length }, 'joined')

  const known = new Set(instances.map(({ id }) => id))
  const unknown = (await driver.list()).filter(({ id }) => !known.has(id))
  // Never destroyed for that: who does not know them may be the one who is wrong.
  if (unknown.length > 0) log.warn({ guests: unknown }, 'guests here that the conductor does not know; left alone')
  await power.differences(instances)

  engine.open()
  for (const operation of operations) void engine.run(ctx, operation)
  return report.accelerator
}
