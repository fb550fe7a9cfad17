import { permits } from '../../auth/policy.ts'
import { fail } from '../../base/errors.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { Operation } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { eventsDefault, inOneAnswer, pageDefault } from '../../model/page.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { listEvents } from '../../store/events.ts'
import { idThatBegins } from '../../store/id-prefix.ts'
import { resolveInstance } from '../../store/instances.ts'
import { legsOfOperation } from '../../store/legs.ts'
import { fullOperation } from '../../store/operation-record.ts'
import { listOperations } from '../../store/operations.ts'
import type { ConductorDeps } from '../deps.ts'
import { projectOf, scopeOf, visibleOperation } from './access.ts'

/** An id is taken as it is: what is recorded of an instance outlives it. */
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
async function instanceIdOf({ db }: Pick<ConductorDeps, 'db'>, ctx: Context, ref: string): Promise<string> {
  return uuid.test(ref) ? ref : (await resolveInstance(db, ref, scopeOf(ctx))).id
}

/** The caller's operations, or everybody's for an administrator. */
export async function operationList(
  deps: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { instance, limit = pageDefault, ...filter }: Args<typeof conductor, 'operationList'>,
): Promise<Result<typeof conductor, 'operationList'>> {
  const subjectId = instance === undefined ? undefined : await instanceIdOf(deps, ctx, instance)
  const asked = { ...filter, limit, subjectId, projectId: projectOf(ctx) }
  const { rows, ...more } = inOneAnswer(await listOperations(deps.db, asked))
  return { operations: rows, ...more }
}

/** The operation whose id begins so, among those that the caller may see. `OperationNotFound`; `AmbiguousName`. */
export async function operationFind(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { operation: ref }: Args<typeof conductor, 'operationFind'>,
): Promise<Result<typeof conductor, 'operationFind'>> {
  return { id: (await idThatBegins(db, 'operations', ref, projectOf(ctx))) ?? fail('OperationNotFound', { id: ref }) }
}

/** One operation with its steps. `OperationNotFound`. */
export async function operationShow(
  deps: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { operation }: Args<typeof conductor, 'operationShow'>,
): Promise<Operation> {
  const record = await visibleOperation(deps, ctx, operation)
  return fullOperation(record, await legsOfOperation(deps.db, operation))
}

/** What has happened to what the caller may see. */
export async function eventList(
  deps: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { instance, limit = eventsDefault, after }: Args<typeof conductor, 'eventList'>,
): Promise<Result<typeof conductor, 'eventList'>> {
  const instanceId = instance === undefined ? undefined : await instanceIdOf(deps, ctx, instance)
  const ofHosts = permits(ctx, 'os_compute_api:os-hypervisors:list')
  const events = await listEvents(deps.db, { limit, after, instanceId, projectId: projectOf(ctx), ofHosts })
  // What an answer cannot carry is left out at the end that its caller asks for next.
  const newestFirst = after === undefined
  const { rows, ...more } = inOneAnswer(newestFirst ? events.reverse() : events)
  return { events: newestFirst ? rows.reverse() : rows, ...more }
}
