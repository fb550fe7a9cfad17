import type { Expression, ExpressionBuilder, Selectable, SqlBool } from 'kysely'
import type { Service } from '../contracts/shapes.ts'
import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import type { Database } from '../db/schema.ts'
import { failMarker, type Page } from './paging.ts'

/** When a service counts as up: it was seen at `downMs` before `now` at the earliest. */
export type Liveness = { now: number; downMs: number }

/** When a service counts as healthy: it is up and, when it was last seen, its last ping had arrived at most `silentMs` before. */
export type Healthy = Liveness & { silentMs: number }

/** What a service reports of itself; one of an older version reports nothing. */
export type ServiceReport = {
  /** How long it has not heard itself, in milliseconds. */
  silentMs?: number | undefined
  /** The versions of the contracts that it speaks, by topic. */
  contracts?: Readonly<Record<string, string>> | undefined
}

/** One process of the cloud: a program's name, the host it runs on, one life of it. */
export type ServiceLife = {
  binary: string
  host: string
  version: string
  incarnation: string
  reported?: ServiceReport
}

/** What people call a service: `compute@host1`. */
export const serviceId = (binary: string, host: string): string => `${binary}@${host}`

/** Notes that a service is alive; it exists from the first time on. A new life begins if the incarnation is another. */
export async function serviceHeartbeat(db: Db, life: ServiceLife, now: number): Promise<void> {
  if (await seeService(db, life, now)) return
  const id = serviceId(life.binary, life.host)
  const { version, incarnation } = life
  const fresh = { version, incarnation, seen_at: now, started_at: now, ...reportedColumns(life) }
  const update = () => db.updateTable('services').set(fresh).where('id', '=', id).executeTakeFirst()
  const { numUpdatedRows } = await update()
  if (numUpdatedRows === 1n) return
  try {
    await db
      .insertInto('services')
      .values({
        id,
        binary: life.binary,
        host: life.host,
        ...fresh,
        disabled: 0,
        disabled_reason: null,
      })
      .execute()
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    await update()
  }
}

/** Notes that this very life of a service is alive; false if another life has taken its place, or it is unknown. */
export async function seeService(
  db: Db,
  { binary, host, incarnation, reported }: Omit<ServiceLife, 'version'>,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('services')
    .set({ seen_at: now, ...(reported === undefined ? {} : newsOf({ incarnation, reported })) })
    .where('id', '=', serviceId(binary, host))
    .where('incarnation', '=', incarnation)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** Whether any service of this name (on this host) is up. */
export async function isServiceUp(db: Db, binary: string, host: string | undefined, alive: Liveness): Promise<boolean> {
  const row = await db
    .selectFrom('services')
    .select('id')
    .$if(host !== undefined, (q) => q.where('id', '=', serviceId(binary, host as string)))
    .where('binary', '=', binary)
    .where('seen_at', '>=', alive.now - alive.downMs)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Whether a compute host other than this one is up and enabled. */
export async function isOtherHostUp(db: Db, host: string | undefined, alive: Liveness): Promise<boolean> {
  const row = await db
    .selectFrom('services')
    .select('id')
    .where('binary', '=', 'compute')
    .where('disabled', '=', 0)
    .where('seen_at', '>=', alive.now - alive.downMs)
    .$if(host !== undefined, (q) => q.where('host', '!=', host as string))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** The hosts on which a service of this name is up. */
export async function servicesUp(db: Db, binary: string, alive: Liveness): Promise<string[]> {
  const rows = await db
    .selectFrom('services')
    .select('host')
    .where('binary', '=', binary)
    .where('seen_at', '>=', alive.now - alive.downMs)
    .orderBy('host')
    .execute()
  return rows.map(({ host }) => host)
}

/** The life of a service on a host that counts; undefined if it was never heard of. */
export async function serviceIncarnation(db: Db, binary: string, host: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('services')
    .select('incarnation')
    .where('id', '=', serviceId(binary, host))
    .executeTakeFirst()
  return row?.incarnation
}

/**
 * Since when there has been a conductor without a break, as far as those that are up can tell; undefined if none is up. Who
 * was down before that may only not have been heard.
 */
export async function conductorUpSince(db: Db, alive: Liveness): Promise<number | undefined> {
  const { since } = await db
    .selectFrom('services')
    .select(({ fn }) => fn.min('started_at').as('since'))
    .where('binary', '=', 'conductor')
    .where('seen_at', '>=', alive.now - alive.downMs)
    .executeTakeFirstOrThrow()
  return since === null || since === undefined ? undefined : Number(since)
}

/** One service by its id. */
export async function findService(db: Db, id: string, alive: Healthy): Promise<Service | undefined> {
  const row = await db.selectFrom('services').selectAll().where('id', '=', id).executeTakeFirst()
  return row && toService(row, alive)
}

/** Services by id, of those that have ever reported. One query (two with a marker). `InvalidRequest` if the marker is no service's id. */
export async function listServices(db: Db, { limit, marker, alive }: Page & { alive: Healthy }): Promise<Service[]> {
  if (marker !== undefined && !(await findService(db, marker, alive))) failMarker(marker)
  const rows = await db
    .selectFrom('services')
    .selectAll()
    .$if(marker !== undefined, (q) => q.where('id', '>', marker as string))
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => toService(row, alive))
}

/** How many daemons or hosts are up, degraded and down. */
export type HealthCounts = { up: number; degraded: number; down: number }

/** How many services of each binary are up, degraded and down. One query. */
export async function countServices(db: Db, alive: Healthy): Promise<Record<string, HealthCounts>> {
  const rows = await db
    .selectFrom('services as s')
    .select((eb) => ['s.binary', ...healthCounts(eb, alive)])
    .groupBy('s.binary')
    .orderBy('s.binary')
    .execute()
  return Object.fromEntries(rows.map(({ binary, ...counted }) => [binary, healthOfCounts(counted)]))
}

type Counted = { s: Pick<Row, 'seen_at' | 'reported_by' | 'incarnation' | 'silent_ms'> }

/** Counts over services (as `s`), to be read by {@link healthOfCounts}: a service is degraded as {@link responsiveness} has it. */
// biome-ignore lint/suspicious/noExplicitAny: any query that has services as `s`.
export function healthCounts(eb: ExpressionBuilder<any, any>, { now, downMs, silentMs }: Healthy) {
  const own = eb as unknown as ExpressionBuilder<Counted, 's'>
  const count = (truth: Expression<SqlBool>) => own.fn.sum<number | null>(own.case().when(truth).then(1).else(0).end())
  const heard = own('s.seen_at', '>=', now - downMs)
  const silent = own.and([own('s.reported_by', '=', own.ref('s.incarnation')), own('s.silent_ms', '>', silentMs)])
  return [
    own.fn.countAll<number>().as('all'),
    count(heard).as('heard'),
    count(own.and([heard, silent])).as('degraded'),
  ] as const
}

/** How many are up, degraded and down: each in one of these. */
export function healthOfCounts(counted: { all: number; heard: number | null; degraded: number | null }): HealthCounts {
  const [all, heard, degraded] = [Number(counted.all), Number(counted.heard ?? 0), Number(counted.degraded ?? 0)]
  return { up: heard - degraded, degraded, down: all - heard }
}

/** What one service has told of the contracts that it speaks. */
type Spoken = { binary: string; host: string; contracts: Readonly<Record<string, string>> | undefined }

/** What all services that are up have told of the contracts that they speak. */
export async function spokenByServices(db: Db, alive: Liveness): Promise<Spoken[]> {
  const rows = await db
    .selectFrom('services')
    .select(['binary', 'host', 'incarnation', 'reported_by', 'contracts'])
    .where('seen_at', '>=', alive.now - alive.downMs)
    .execute()
  return rows.map((row) => ({ binary: row.binary, host: row.host, contracts: contractsOf(row) }))
}

/** Takes a service out of use, or back in; false if there is none of this id. */
export async function setService(
  db: Db,
  id: string,
  { enabled, reason }: { enabled: boolean; reason: string | undefined },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('services')
    .set({ disabled: enabled ? 0 : 1, disabled_reason: enabled ? null : (reason ?? null) })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/** A clean end of this life: the service is down from now on. False if another life has taken its place already. */
export async function dismissService(
  db: Db,
  { binary, host, incarnation }: Pick<ServiceLife, 'binary' | 'host' | 'incarnation'>,
  alive: Liveness,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('services')
    .set({ seen_at: Math.max(0, alive.now - alive.downMs - 1) })
    .where('id', '=', serviceId(binary, host))
    .where('incarnation', '=', incarnation)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

type Row = Selectable<Database['services']>

const reportedColumns = ({ incarnation, reported }: Pick<ServiceLife, 'incarnation' | 'reported'>) => ({
  reported_by: reported === undefined ? null : incarnation,
  silent_ms: reported?.silentMs === undefined ? null : Math.round(reported.silentMs),
  contracts: reported?.contracts === undefined ? null : JSON.stringify(reported.contracts),
})

/** The same of a life that is known: what it does not say this time, as in its hello after a new link, stays as it was. */
function newsOf(life: Pick<ServiceLife, 'incarnation' | 'reported'>) {
  const { silent_ms, ...others } = reportedColumns(life)
  return silent_ms === null ? others : { ...others, silent_ms }
}

/** How long the service had not heard itself when it was last seen; undefined if this life has not reported it. */
export const silentMsOf = (row: Pick<Row, 'incarnation' | 'reported_by' | 'silent_ms'>): number | undefined =>
  row.reported_by === row.incarnation ? (row.silent_ms ?? undefined) : undefined

/** The contracts that the service speaks, by topic; undefined if this life has not said. */
const contractsOf = (
  row: Pick<Row, 'incarnation' | 'reported_by' | 'contracts'>,
): Record<string, string> | undefined =>
  row.reported_by === row.incarnation && row.contracts !== null ? JSON.parse(row.contracts) : undefined

/** When a service last heard itself, and whether that is too long ago. */
export function responsiveness(
  seenAt: number,
  silentMs: number | undefined,
  limitMs: number,
): { lastPongAt?: number; unresponsive?: boolean } {
  return silentMs === undefined ? {} : { lastPongAt: Math.max(0, seenAt - silentMs), unresponsive: silentMs > limitMs }
}

function toService(row: Row, { now, downMs, silentMs }: Healthy): Service {
  const contracts = contractsOf(row)
  return {
    id: row.id,
    binary: row.binary,
    host: row.host,
    version: row.version,
    state: row.seen_at >= now - downMs ? 'up' : 'down',
    status: row.disabled === 1 ? 'disabled' : 'enabled',
    ...(row.disabled_reason === null ? {} : { disabledReason: row.disabled_reason }),
    seenAt: row.seen_at,
    startedAt: row.started_at,
    ...responsiveness(row.seen_at, silentMsOf(row), silentMs),
    ...(contracts === undefined ? {} : { contracts }),
  }
}
