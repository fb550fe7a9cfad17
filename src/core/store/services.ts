import type { Selectable } from 'kysely'
import type { Service } from '../contracts/shapes.ts'
import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import type { Database } from '../db/schema.ts'

/** When a service counts as up: it was seen at `downMs` before `now` at the earliest. */
export type Liveness = { now: number; downMs: number }

/** And as hearing: when it was last seen, it had heard itself `deafMs` before at the earliest. */
export type Healthy = Liveness & { silentMs: number }

/** What a service tells of itself; who tells nothing is older than the question. */
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

/** Notes that a service is alive; it exists from the first time on. A new life begins where the incarnation is another. */
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
        ...reportedColumns(life),
      })
      .execute()
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    await update()
  }
}

/** Notes that this very life of a service is alive; false where another life has taken its place, or it is unknown. */
export async function seeService(
  db: Db,
  { binary, host, incarnation, reported }: Omit<ServiceLife, 'version'>,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('services')
    .set({ seen_at: now, ...(reported === undefined ? {} : reportedColumns({ incarnation, reported })) })
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

/**
 * Since when there has been a conductor without a break, as far as those that are up can tell; undefined where none is. Who
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

/** Every service that has ever reported. */
export async function listServices(db: Db, alive: Healthy): Promise<Service[]> {
  const rows = await db.selectFrom('services').selectAll().orderBy('binary').orderBy('host').execute()
  return rows.map((row) => toService(row, alive))
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

/** Takes a service out of use, or back in; false where there is none of this id. */
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

/** A clean end of this life: the service is down from now on. False where another life has taken its place already. */
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

/** How long the service had not heard itself when it was last seen; undefined where this life has not told. */
export const silentMsOf = (row: Pick<Row, 'incarnation' | 'reported_by' | 'silent_ms'>): number | undefined =>
  row.reported_by === row.incarnation ? (row.silent_ms ?? undefined) : undefined

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
