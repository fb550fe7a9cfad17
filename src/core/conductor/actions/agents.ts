import { fail } from '../../base/errors.ts'
import { agent } from '../../contracts/agent.ts'
import { computeAgent } from '../../contracts/compute-agent.ts'
import type { Progress } from '../../contracts/shapes.ts'
import { isUniqueViolation } from '../../db/dialect.ts'
import type { Context } from '../../model/context.ts'
import { healthOf } from '../../model/health.ts'
import { about, announce, change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { dropLeases, type Owner, renewLeases } from '../../store/held-legs.ts'
import { lockHost } from '../../store/hosts.ts'
import { openOperationsOn } from '../../store/legs.ts'
import { findOperation } from '../../store/operations.ts'
import {
  dismissService,
  findService,
  isServiceUp,
  type ServiceReport,
  seeService,
  serviceHeartbeat,
  serviceId,
} from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive } from './access.ts'

/**
 * A daemon of a host has started. Answers with the open operations that it should take up. `HostMismatch` if the name is
 * another machine's that is up or has instances.
 */
export async function hello(
  deps: ConductorDeps,
  ctx: Context,
  { service, host: name, incarnation, hostId, version, contracts }: Args<typeof agent, 'hello'>,
): Promise<Result<typeof agent, 'hello'>> {
  const now = alive(deps)
  const greet = () =>
    change(deps, async (db, emit) => {
      const known = await lockHost(db, name)
      const before = await findService(db, serviceId(service, name), now)
      if (known && known.hostId !== hostId) {
        if (known.instances > 0 || before?.state === 'up')
          fail('HostMismatch', { host: name, known: known.hostId, presented: hostId })
      }
      await serviceHeartbeat(
        db,
        { binary: service, host: name, version, incarnation, reported: { contracts } },
        now.now,
      )
      // A daemon says it again each time that its link to the bus comes back.
      if (!before || healthOf(before) !== 'up' || known?.incarnation !== incarnation)
        emit({
          at: now.now,
          type: 'host.up',
          host: name,
          requestId: ctx.requestId,
          projectId: ctx.projectId,
          message: `${service}, version ${version}`,
        })
      return { operations: await openOperationsOn(db, service, name), contracts: understood(deps) }
    })
  // The first word of a new host, said twice at the same moment: the second finds it known.
  const answer = await greet().catch((e) => (isUniqueViolation(e) ? greet() : Promise.reject(e)))
  deps.speakers.record({ binary: service, host: name, contracts })
  return answer
}

/**
 * A daemon of a host is alive: its leases are renewed, and it hears which operations not to go on with. `HostNotFound` if it
 * must say hello (again): it is not known, or the life that counts here is silent. That one may have ended long ago, its
 * hello having been carried out late, after the hello of the life that speaks.
 */
export async function heartbeat(
  deps: ConductorDeps,
  ctx: Context,
  { service, host, incarnation, operations, silentMs, contracts }: Args<typeof agent, 'heartbeat'>,
): Promise<Result<typeof agent, 'heartbeat'>> {
  const { db, options, speakers } = deps
  const limits = alive(deps)
  const { now } = limits
  const owner: Owner = { service, host, incarnation }
  const leaseUntil = now + options.leaseSeconds * 1000
  const reported = { silentMs, contracts }
  if (silentMs !== undefined && silentMs > limits.silentMs) await recordDegraded(deps, ctx, owner, reported)
  const ids = operations.map(({ id }) => id)
  if (!(await seeService(db, { binary: service, host, incarnation, reported }, now))) {
    if (!(await isServiceUp(db, service, host, limits))) return fail('HostNotFound', { id: host })
    return { lost: ids, cancelled: [], leaseUntil }
  }
  speakers.record({ binary: service, host, contracts })
  const held = await renewLeases(db, owner, operations, leaseUntil)
  for (const { id, progress } of operations)
    if (progress && held.has(id)) await announceProgress(deps, id, { host, progress, now })
  return {
    lost: ids.filter((id) => !held.has(id)),
    cancelled: ids.filter((id) => held.get(id)),
    leaseUntil,
    contracts: understood(deps),
  }
}

/** Tells whoever follows a long operation how far it is; the leg keeps the last word. */
async function announceProgress(
  deps: ConductorDeps,
  id: string,
  { host, progress, now }: { host: string; progress: Progress; now: number },
): Promise<void> {
  const operation = await findOperation(deps.db, id)
  if (!operation) return
  const { kind, state, attempt } = operation
  announce(deps, {
    id: 0,
    ...about(operation, now),
    type: 'operation.progress',
    host,
    operation: { kind, state, attempt: Math.max(attempt, 1), progress },
  })
}

/** What a host may say: what every conductor that is up understands. */
const understood = ({ speakers }: ConductorDeps): Record<string, string> => ({
  [agent.topic]: speakers.everywhere(agent, 'conductor')() ?? agent.version,
  [computeAgent.topic]: speakers.everywhere(computeAgent, 'conductor')() ?? computeAgent.version,
})

/** A host that speaks and hears nothing gets an event when that begins; its `host.up` comes with the hello of its next link. */
async function recordDegraded(
  deps: ConductorDeps,
  ctx: Context,
  { service: binary, host, incarnation }: Owner,
  reported: ServiceReport,
): Promise<void> {
  const now = alive(deps)
  await change(deps, async (db, emit) => {
    const before = await findService(db, serviceId(binary, host), now)
    if (!before || before.unresponsive || !(await seeService(db, { binary, host, incarnation, reported }, now.now)))
      return
    const seconds = Math.round((reported.silentMs ?? 0) / 1000)
    emit({
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
  owner: Args<typeof agent, 'bye'>,
): Promise<Result<typeof agent, 'bye'>> {
  const now = alive(deps)
  const { service: binary, host, incarnation } = owner
  await change(deps, async (db, emit) => {
    if (!(await dismissService(db, { binary, host, incarnation }, now))) return
    await dropLeases(db, owner, now.now)
    emit({ at: now.now, type: 'host.down', host, requestId: ctx.requestId, projectId: ctx.projectId })
  })
  return {}
}
