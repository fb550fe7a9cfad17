import type { Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'

/** Something of the cloud's and, where it is not the host's that was asked about, whose it is. */
export type NotOwned = { what: string; instanceId?: string; of: string }

const chunk = 500

/**
 * Of these operations, one that is neither of an instance on this host, nor was ever this host's to carry out. What there
 * is no record of is nobody's.
 */
export async function operationNotOf(db: Db, host: string, ids: readonly string[]): Promise<NotOwned | undefined> {
  for (let start = 0; start < ids.length; start += chunk) {
    const rows = await db
      .selectFrom('operations as o')
      .leftJoin('instances as i', 'i.id', 'o.instance_id')
      .select(['o.id', 'o.instance_id', 'o.host', 'o.steps', 'i.host as instance_host'])
      .where('o.id', 'in', ids.slice(start, start + chunk))
      .execute()
    const row = rows.find((row) => row.instance_host !== host && row.host !== host && !hasStepOf(row.steps, host))
    if (row)
      return { what: `operation ${row.id}`, instanceId: row.instance_id, of: place(row.instance_host ?? row.host) }
  }
  return undefined
}

/** Of these instances, one that is not on this host and that no operation of this host's has ever been about. */
export async function instanceNotOf(db: Db, host: string, ids: readonly string[]): Promise<NotOwned | undefined> {
  for (let start = 0; start < ids.length; start += chunk) {
    const elsewhere = await db
      .selectFrom('instances')
      .select(['id', 'host'])
      .where('id', 'in', ids.slice(start, start + chunk))
      .where((eb) => eb.or([eb('host', '!=', host), eb('host', 'is', null)]))
      .execute()
    if (elsewhere.length === 0) continue
    // A boot that failed here and went on to another host: its guest may change once more while it is taken away.
    const past = await db
      .selectFrom('operations')
      .select(['instance_id', 'steps'])
      .where(
        'instance_id',
        'in',
        elsewhere.map(({ id }) => id),
      )
      .execute()
    const had = new Set(past.filter(({ steps }) => hasStepOf(steps, host)).map((row) => row.instance_id))
    const other = elsewhere.find(({ id }) => !had.has(id))
    if (other) return { what: `instance ${other.id}`, instanceId: other.id, of: place(other.host) }
  }
  return undefined
}

/** Whether an instance on this host was made of the image. */
export async function hasInstanceOf(db: Db, host: string, image: string): Promise<boolean> {
  const row = await db
    .selectFrom('instances')
    .select('id')
    .where('host', '=', host)
    .where('image_id', '=', image)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

const hasStepOf = (steps: string, host: string): boolean =>
  steps.includes(host) && (JSON.parse(steps) as Step[]).some((step) => step.host === host)

const place = (host: string | null): string => (host === null ? 'no host' : `host ${host}`)
