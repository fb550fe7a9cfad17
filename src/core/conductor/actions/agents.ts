import { fail } from '../../base/errors.ts'
import { agent } from '../../contracts/agent.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Context } from '../../model/context.ts'
import { healthOf } from '../../model/health.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { addHost, type HostSelf, hostAccelerator, lockHost, updateHost, updateHostReport } from '../../store/hosts.ts'
import { instancesOn } from '../../store/instances.ts'
import {
  dismissService,
  findService,
  isServiceUp,
  type ServiceReport,
  seeService,
  serviceHeartbeat,
  serviceId,
} from '../../store/services.ts'
import { dropLeases, openOperationsOn, renewLeases } from '../../store/transitions.ts'
import type { ConductorDeps } from '../deps.ts'
import { change, type Note } from '../operations/change.ts'
import { alive } from './access.ts'

const binary = 'compute'

/**
 * A compute daemon has started: a host that reports is a host that exists. Answers with the instances that belong there
 * and the open operations that it should take up. `HostMismatch` where the name is another machine's that is up or has
 * instances.
 */
export async function hello(
  deps: ConductorDeps,
  ctx: Context,
  { host: name, incarnation, hostId, version, availabilityZone, report }: Args<typeof agent, 'hello'>,
): Promise<Result<typeof agent, 'hello'>> {
  const self: HostSelf = { name, hostId, incarnation, availabilityZone, report }
  const now = alive(deps)
  const greet = () =>
    change(deps, async (db, note) => {
      const known = await lockHost(db, name)
      const before = await findService(db, serviceId(binary, name), now)
      const wasUp = before?.state === 'up'
      if (known && known.hostId !== hostId) {
        if (known.instances > 0 || wasUp) fail('HostMismatch', { host: name, known: known.hostId, presented: hostId })
      }
      if (known) noteAccelerator(note, await hostAccelerator(db, name), { ...self, ctx, at: now.now })
      if (known) await updateHost(db, self)
      else await addHost(db, self, now.now)
      await serviceHeartbeat(db, { binary, host: name, version, incarnation }, now.now)
      // A daemon says it again each time that its link to the bus comes back.
      if (!before || healthOf(before) !== 'up' || known?.incarnation !== incarnation)
        note({
          at: now.now,
          type: 'host.up',
          host: name,
          requestId: ctx.requestId,
          projectId: ctx.projectId,
          message: `${report.driver} (${report.accelerator}), version ${version}`,
        })
      return {
        operations: await openOperationsOn(db, name),
        instances: await instancesOn(db, name),
        contracts: understood(deps),
      }
    })
  // The first word of a new host, said twice at the same moment: the second finds it known.
  return greet().catch((e) => (isUniqueViolation(e) ? greet() : Promise.reject(e)))
}

/**
 * A host is alive, with fresh numbers: its leases are renewed, and it hears which operations not to go on with.
 * `HostNotFound` where it must say hello (again): it is not known, or the life that counts here is silent. That one may
 * have ended long ago, its hello having been carried out late, after the hello of the life that speaks.
 */
export async function heartbeat(
  deps: ConductorDeps,
  ctx: Context,
  { host, incarnation, report, acceleratorWhy, operations, silentMs, contracts }: Args<typeof agent, 'heartbeat'>,
): Promise<Result<typeof agent, 'heartbeat'>> {
  const { db, options, speakers } = deps
  const limits = alive(deps)
  const { now } = limits
  const leaseUntil = now + options.leaseSeconds * 1000
  const reported = { silentMs, contracts }
  if (silentMs !== undefined && silentMs > limits.silentMs)
    await recordDegraded(deps, ctx, { host, incarnation, reported })
  if (!(await seeService(db, { binary, host, incarnation, reported }, now))) {
    if (!(await isServiceUp(db, binary, host, limits))) return fail('HostNotFound', { id: host })
    return { lost: operations, cancelled: [], leaseUntil }
  }
  speakers.note({ binary, host, contracts })
  if (report) await noteReport(deps, ctx, host, report, acceleratorWhy)
  const held = await renewLeases(db, { host, incarnation }, operations, leaseUntil)
  return {
    lost: operations.filter((id) => !held.has(id)),
    cancelled: operations.filter((id) => held.get(id)),
    leaseUntil,
    contracts: understood(deps),
  }
}

/** What a host may say: what every conductor that is up understands. */
const understood = ({ speakers }: ConductorDeps): Record<string, string> => ({
  [agent.topic]: speakers.everywhere(agent, 'conductor')() ?? agent.version,
})

/** Writes down what a host has to give; an accelerator that is another than before is told as an event. */
async function noteReport(
  deps: ConductorDeps,
  ctx: Context,
  host: string,
  report: HostSelf['report'],
  why: string | undefined,
): Promise<void> {
  await change(deps, async (db, note) => {
    noteAccelerator(note, await hostAccelerator(db, host), { name: host, report, ctx, at: deps.clock.now(), why })
    await updateHostReport(db, host, report)
  })
}

/** Guests of a host run on another accelerator than `before`: from KVM to TCG they are ten times slower, and somebody should know. */
function noteAccelerator(
  note: (event: Note) => void,
  before: string | undefined,
  {
    name,
    report,
    ctx,
    at,
    why,
  }: Pick<HostSelf, 'name' | 'report'> & { ctx: Context; at: number; why?: string | undefined },
): void {
  const { accelerator } = report
  if (before === undefined || before === accelerator) return
  note({
    at,
    type: 'host.accelerator_changed',
    host: name,
    requestId: ctx.requestId,
    projectId: ctx.projectId,
    message: `${before} → ${accelerator}${why === undefined ? '' : `: ${why}`}`,
  })
}

/** A host that speaks and hears nothing gets an event when that begins; its `host.up` comes with the hello of its next link. */
async function recordDegraded(
  deps: ConductorDeps,
  ctx: Context,
  { host, incarnation, reported }: { host: string; incarnation: string; reported: ServiceReport },
): Promise<void> {
  const now = alive(deps)
  await change(deps, async (db, note) => {
    const before = await findService(db, serviceId(binary, host), now)
    if (!before || before.unresponsive || !(await seeService(db, { binary, host, incarnation, reported }, now.now)))
      return
    const seconds = Math.round((reported.silentMs ?? 0) / 1000)
    note({
      at: now.now,
      type: 'host.degraded',
      host,
      requestId: ctx.requestId,
      projectId: ctx.projectId,
      message: `it has not heard itself on the bus for ${seconds} s`,
    })
  })
}

/** A clean stop: the service is down from now on, its leases are free. */
export async function bye(
  deps: ConductorDeps,
  ctx: Context,
  { host, incarnation }: Args<typeof agent, 'bye'>,
): Promise<Result<typeof agent, 'bye'>> {
  const now = alive(deps)
  await change(deps, async (db, note) => {
    if (!(await dismissService(db, { binary, host, incarnation }, now))) return
    await dropLeases(db, { host, incarnation }, now.now)
    note({ at: now.now, type: 'host.down', host, requestId: ctx.requestId, projectId: ctx.projectId })
  })
  return {}
}
