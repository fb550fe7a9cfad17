import type { Insertable, Selectable, Updateable } from 'kysely'
import { fail } from '../base/errors.ts'
import { nearest } from '../base/near.ts'
import type { Fault, Instance, InstanceSummary } from '../contracts/shapes.ts'
import { isUniqueViolation, locked } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { inStatements, insertRows } from '../db/insert.ts'
import { prepared } from '../db/prepared.ts'
import type { Database } from '../db/schema.ts'
import type { InstanceState, PowerState, Size } from '../model/instance.ts'
import { kindOf, type OperationKind, openStates } from '../model/operation.ts'
import { idThatBegins } from './id-prefix.ts'
import { type Marker, markerOf, olderThan } from './paging.ts'

/** Whose instances one may see: those of a project; of all others too, after its own, if `all` is set. */
export type Scope = { projectId: string; all: boolean }

/** An instance that is to be, before it has a host. */
export type NewInstance = {
  id: string
  name: string
  projectId: string
  userId: string
  flavorId: string
  flavor: string
  imageId: string
  image: string
  size: Size
  availabilityZone?: string | undefined
  description?: string | undefined
  metadata: Record<string, string>
  hints: Record<string, string>
  userData?: string | undefined
  key?: string | undefined
  createdAt: number
}

/** Writes instances in state BUILD, without a host, each with a MAC of `newMac` that no other instance has. */
export async function addInstances(db: Db, instances: readonly NewInstance[], newMac: () => string): Promise<void> {
  for (const group of inStatements(instances, bytesOf)) await addTogether(db, group, newMac)
}

const bytesOf = ({ userData = '', key = '', metadata, hints }: NewInstance): number =>
  1_000 + userData.length + key.length + JSON.stringify([metadata, hints]).length * 3

/** More than a group can be halved, with many attempts left for the single instance that remains. */
const attemptsMax = 30

/**
 * One statement. If one of its MACs is taken, none of its rows is there: each half is tried again with new MACs, so that a
 * few that are taken do not stop a large group.
 */
async function addTogether(db: Db, group: readonly NewInstance[], newMac: () => string, attempt = 1): Promise<void> {
  const rows = group.map((instance) => fromNew(instance, newMac()))
  try {
    await insertRows(db, 'instances', rows)
  } catch (e) {
    if (!isUniqueViolation(e) || attempt === attemptsMax) throw e
    const half = Math.ceil(group.length / 2)
    await addTogether(db, group.slice(0, half), newMac, attempt + 1)
    if (half < group.length) await addTogether(db, group.slice(half), newMac, attempt + 1)
  }
}

const fromNew = (i: NewInstance, mac: string): Insertable<Database['instances']> => ({
  id: i.id,
  name: i.name,
  project_id: i.projectId,
  user_id: i.userId,
  state: 'BUILD' satisfies InstanceState,
  power: 'NOSTATE' satisfies PowerState,
  host: null,
  flavor_id: i.flavorId,
  flavor: i.flavor,
  image_id: i.imageId,
  image: i.image,
  vcpus: i.size.vcpus,
  memory_mb: i.size.memoryMb,
  disk_gb: i.size.diskGb,
  availability_zone: i.availabilityZone ?? null,
  description: i.description ?? null,
  metadata: JSON.stringify(i.metadata),
  hints: JSON.stringify(i.hints),
  user_data: i.userData ?? null,
  public_key: i.key ?? null,
  mac,
  generation: 0,
  fault: null,
  created_at: i.createdAt,
  updated_at: i.createdAt,
  launched_at: null,
})

/** All but the user data, which only the host needs and may be large. */
const columns = [
  'id',
  'name',
  'project_id',
  'user_id',
  'state',
  'power',
  'host',
  'flavor_id',
  'flavor',
  'image_id',
  'image',
  'vcpus',
  'memory_mb',
  'disk_gb',
  'availability_zone',
  'description',
  'metadata',
  'hints',
  'public_key',
  'mac',
  'generation',
  'fault',
  'created_at',
  'updated_at',
  'launched_at',
] as const

const selectInstance = (db: Db) =>
  db
    .selectFrom('instances')
    .select(columns)
    .select(({ eb }) => eb('user_data', 'is not', null).as('has_user_data'))

/**
 * The instance that is meant: this id or, else, this name in the project or, else and if the scope is all, this name
 * anywhere or, else, the id that begins so. `InstanceNotFound` with near names; `AmbiguousName` if several are meant.
 */
export async function resolveInstance(db: Db, ref: string, scope: Scope): Promise<Instance> {
  const own = await selectInstance(db)
    .where((eb) => eb.or([eb('id', '=', ref), eb.and([eb('project_id', '=', scope.projectId), eb('name', '=', ref)])]))
    .limit(20)
    .execute()
  const seen = own.filter((row) => scope.all || row.project_id === scope.projectId)
  const byId = seen.find((row) => row.id === ref)
  if (byId) return toInstance(byId)
  const named =
    seen.length === 0 && scope.all ? await selectInstance(db).where('name', '=', ref).limit(20).execute() : seen
  if (named.length > 1) fail('AmbiguousName', { kind: 'instance', name: ref, ids: named.map(({ id }) => id).sort() })
  if (named[0]) return toInstance(named[0])
  const id = await idThatBegins(db, 'instances', ref, scope.all ? undefined : scope.projectId)
  if (id !== undefined && id !== ref) return resolveInstance(db, id, scope)
  const names = await db
    .selectFrom('instances')
    .select('name')
    .$if(!scope.all, (q) => q.where('project_id', '=', scope.projectId))
    .limit(1000)
    .execute()
  fail('InstanceNotFound', {
    id: ref,
    near: nearest(
      ref,
      names.map(({ name }) => name),
    ),
  })
}

/**
 * The instance, locked until the transaction ends. Every transaction that changes an instance locks it first, then its
 * operation, then its host: so they never wait for one another in a circle.
 */
export async function lockInstance(db: Db, id: string): Promise<Instance | undefined> {
  const row = await locked(db, selectInstance(db).where('id', '=', id)).executeTakeFirst()
  return row && toInstance(row)
}

/**
 * The instance that an open operation is about, locked until the transaction ends; undefined if the operation is over, or
 * about something else. The operation itself is only looked at, so that the instance is locked first.
 */
export async function lockSubject(db: Db, operation: string): Promise<Instance | undefined> {
  const { rows } = await selectSubject(db, { operation })
  return rows[0] && toInstance(rows[0])
}

const selectSubject = prepared((db: Db, { operation }: { operation: string }) =>
  locked(
    db,
    selectInstance(db).where('id', '=', (eb) =>
      eb
        .selectFrom('operations')
        .select('subject_id')
        .where('operations.id', '=', operation)
        .where('subject_kind', '=', 'instance')
        .where('operations.state', 'in', openStates),
    ),
  ),
)

/** Those that there are of these ids, as they are now. */
export async function findInstances(db: Db, ids: readonly string[]): Promise<Instance[]> {
  if (ids.length === 0) return []
  const rows = await selectInstance(db).where('id', 'in', ids).execute()
  return rows.map((row) => toInstance(row))
}

/** As {@link lockInstance} for several, in the order of their ids. */
export async function lockInstances(db: Db, ids: readonly string[]): Promise<Instance[]> {
  const rows = await locked(db, selectInstance(db).where('id', 'in', ids).orderBy('id')).execute()
  return rows.map((row) => toInstance(row))
}

/** Which instances a list is to have. */
export type InstanceFilter = {
  limit: number
  marker?: string | undefined
  ids?: readonly string[] | undefined
  projectId?: string | undefined
  /** A part of the name. */
  name?: string | undefined
  status?: InstanceState | undefined
  host?: string | undefined
  flavor?: string | undefined
  /** Name or id. */
  image?: string | undefined
}

/** Newest first, with what their open operations do. One query (two with a marker). */
export async function listInstances(db: Db, asked: InstanceFilter): Promise<InstanceSummary[]> {
  const after = asked.marker === undefined ? undefined : await markerOf(db, 'instances', asked.marker, asked.projectId)
  const page = db
    .selectFrom('instances')
    .select(['id', 'name', 'state', 'power', 'host', 'flavor', 'image', 'project_id', 'created_at'])
    .$if(asked.projectId !== undefined, (q) => q.where('project_id', '=', asked.projectId as string))
    .$if(asked.name !== undefined, (q) =>
      q.where(({ eb, fn }) => eb(fn<number>('instr', ['name', eb.val(asked.name)]), '>', 0)),
    )
    .$if(asked.ids !== undefined, (q) => q.where('id', 'in', asked.ids as string[]))
    .$if(asked.status !== undefined, (q) => q.where('state', '=', asked.status as string))
    .$if(asked.host !== undefined, (q) => q.where('host', '=', asked.host as string))
    .$if(asked.flavor !== undefined, (q) => q.where('flavor', '=', asked.flavor as string))
    .$if(asked.image !== undefined, (q) =>
      q.where((eb) => eb.or([eb('image', '=', asked.image as string), eb('image_id', '=', asked.image as string)])),
    )
    .$if(after !== undefined, (q) => q.where(olderThan(after as Marker)))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(asked.limit)
  const rows = await db
    .selectFrom(page.as('i'))
    .leftJoin('operation_subjects as s', 's.open_id', 'i.id')
    .leftJoin('operations as o', 'o.id', 's.operation_id')
    .selectAll('i')
    .select('o.kind as doing')
    .orderBy('i.created_at', 'desc')
    .orderBy('i.id', 'desc')
    .execute()
  return rows.map(toSummary)
}

/** How many instances there are in each state, of one project if that is given. */
export async function countInstances(db: Db, projectId?: string): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('instances')
    .select(({ fn }) => ['state', fn.countAll().as('count')])
    .$if(projectId !== undefined, (q) => q.where('project_id', '=', projectId as string))
    .groupBy('state')
    .execute()
  return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]))
}

/** What a host is told of the instances that belong to it. */
export async function instancesOn(
  db: Db,
  host: string,
): Promise<Array<{ id: string; status: InstanceState; power: PowerState; generation: number }>> {
  const rows = await db
    .selectFrom('instances')
    .select(['id', 'state', 'power', 'generation'])
    .where('host', '=', host)
    .execute()
  return rows.map(({ id, state, power, generation }) => ({
    id,
    status: state as InstanceState,
    power: power as PowerState,
    generation,
  }))
}

/** Which of these names instances of the project have: 20 at most. */
export async function namesTaken(db: Db, projectId: string, names: readonly string[]): Promise<string[]> {
  const taken = db.selectFrom('instances').select('name').where('project_id', '=', projectId).where('name', 'in', names)
  return (await taken.distinct().orderBy('name').limit(20).execute()).map(({ name }) => name)
}

/** Gives an instance another name. */
export async function renameInstance(db: Db, id: string, name: string, now: number): Promise<void> {
  await db.updateTable('instances').set({ name, updated_at: now }).where('id', '=', id).execute()
}

/** Takes an instance away as if it had never been asked for. */
export async function removeInstance(db: Db, id: string): Promise<void> {
  await db.deleteFrom('instances').where('id', '=', id).execute()
}

/** What changes of an instance; what is left out stays as it is. */
export type InstanceChange = {
  state?: InstanceState | undefined
  power?: PowerState | undefined
  /** `null` takes the last fault away. */
  fault?: Fault | null | undefined
  /** `null`: it is on no host any more. Another host makes it another generation. */
  host?: string | null | undefined
  launched?: boolean | undefined
}

/** Writes what changes of an instance. */
export async function settleInstance(db: Db, id: string, change: InstanceChange, now: number): Promise<void> {
  const { state, power, fault, host, launched } = change
  const set = {
    updated_at: now,
    ...(state === undefined ? {} : { state }),
    ...(power === undefined ? {} : { power }),
    ...(fault === undefined ? {} : { fault: fault === null ? null : JSON.stringify(fault) }),
    ...(host === undefined ? {} : { host }),
    ...(launched ? { launched_at: now } : {}),
  }
  await (typeof host === 'string' ? moveInstance : updateInstance)(db, { id, ...set })
}

type Changed = { id: string } & Updateable<Database['instances']>
const updateInstance = prepared((db: Db, { id, ...set }: Changed) =>
  db.updateTable('instances').set(set).where('id', '=', id),
)
const moveInstance = prepared((db: Db, { id, ...set }: Changed) =>
  db
    .updateTable('instances')
    .set(({ eb }) => ({ ...set, generation: eb('generation', '+', 1) }))
    .where('id', '=', id),
)

type Columns = Pick<Selectable<Database['instances']>, (typeof columns)[number]> & { has_user_data: unknown }

function toInstance(row: Columns): Instance {
  return {
    id: row.id,
    name: row.name,
    status: row.state as InstanceState,
    power: row.power as PowerState,
    ...(row.host === null ? {} : { host: row.host }),
    flavor: row.flavor,
    image: row.image,
    projectId: row.project_id,
    createdAt: row.created_at,
    size: { vcpus: row.vcpus, memoryMb: row.memory_mb, diskGb: row.disk_gb },
    imageId: row.image_id,
    userId: row.user_id,
    ...(row.description === null ? {} : { description: row.description }),
    ...(row.availability_zone === null ? {} : { availabilityZone: row.availability_zone }),
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    hints: JSON.parse(row.hints) as Record<string, string>,
    ...(row.public_key === null ? {} : { key: row.public_key }),
    hasUserData: Boolean(row.has_user_data),
    macAddress: row.mac,
    generation: row.generation,
    updatedAt: row.updated_at,
    ...(row.launched_at === null ? {} : { launchedAt: row.launched_at }),
    ...(row.fault === null ? {} : { fault: JSON.parse(row.fault) as Fault }),
  }
}

type SummaryRow = Pick<
  Selectable<Database['instances']>,
  'id' | 'name' | 'state' | 'power' | 'host' | 'flavor' | 'image' | 'project_id' | 'created_at'
> & { doing: string | null }

const toSummary = (row: SummaryRow): InstanceSummary => ({
  id: row.id,
  name: row.name,
  status: row.state as InstanceState,
  ...(row.doing === null ? {} : { task: kindOf(row.doing as OperationKind).task }),
  power: row.power as PowerState,
  ...(row.host === null ? {} : { host: row.host }),
  flavor: row.flavor,
  image: row.image,
  projectId: row.project_id,
  createdAt: row.created_at,
})

/** The short form of an instance, with what its open operation does. */
export function summaryOf(instance: Instance, doing: OperationKind | undefined): InstanceSummary {
  const { id, name, status, power, host, flavor, image, projectId, createdAt } = instance
  return {
    id,
    name,
    status,
    ...(doing === undefined ? {} : { task: kindOf(doing).task }),
    power,
    ...(host === undefined ? {} : { host }),
    flavor,
    image,
    projectId,
    createdAt,
  }
}
