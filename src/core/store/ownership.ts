import type { Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { openStates } from '../model/operation.ts'

/** Something of the cloud's that is not the host's that was asked about, and whose it is. */
export type NotOwned = { what: string; instanceId?: string; of: string }

const chunk = 500

/**
 * Of these operations, an open one that is neither of an instance on this host, nor was ever this host's to carry out. What
 * there is no record of is nobody's, and neither is what is over: nothing that is said of it changes anything, and its
 * record does not tell all who had a part in it.
 */
export async function operationNotOf(db: Db, host: string, ids: readonly string[]): Promise<NotOwned | undefined> {
  for (let start = 0; start < ids.length; start += chunk) {
    const rows = await db
      .selectFrom('operations as o')
      .leftJoin('operation_hosts as l', (join) => join.onRef('l.operation_id', '=', 'o.id').on('l.host', '=', host))
      .leftJoin('instances as i', 'i.id', 'o.subject_id')
      .select(['o.id', 'o.host', 'o.steps', 'l.host as leg', 'i.id as instance', 'i.host as instance_host'])
      .where('o.id', 'in', ids.slice(start, start + chunk))
      .where('o.state', 'in', openStates)
      .execute()
    const row = rows.find(
      (row) =>
        row.leg === null && row.instance_host !== host && row.host !== host && !hasStepOf(JSON.parse(row.steps), host),
    )
    if (row)
      return {
        what: `operation ${row.id}`,
        ...(row.instance === null ? {} : { instanceId: row.instance }),
        of: place(row.instance_host ?? row.host),
      }
  }
  return undefined
}

/** Of these instances, one that is not on this host, holds no room there, and that no operation there was ever about. */
export async function instanceNotOf(db: Db, host: string, ids: readonly string[]): Promise<NotOwned | undefined> {
  for (let start = 0; start < ids.length; start += chunk) {
    const elsewhere = await db
      .selectFrom('instances as i')
      .leftJoin('allocations as a', (join) => join.onRef('a.instance_id', '=', 'i.id').on('a.host', '=', host))
      .select(['i.id', 'i.host'])
      .where('i.id', 'in', ids.slice(start, start + chunk))
      .where('a.host', 'is', null)
      .where((eb) => eb.or([eb('i.host', '!=', host), eb('i.host', 'is', null)]))
      .execute()
    if (elsewhere.length === 0) continue
    // A boot that failed here and went on to another host: its guest may change once more while it is taken away.
    const past = await db
      .selectFrom('operations')
      .select(['subject_id', 'steps'])
      .where(
        'subject_id',
        'in',
        elsewhere.map(({ id }) => id),
      )
      .execute()
    const had = new Set(past.filter(({ steps }) => hasStepOf(JSON.parse(steps), host)).map((row) => row.subject_id))
    const other = elsewhere.find(({ id }) => !had.has(id))
    if (other) return { what: `instance ${other.id}`, instanceId: other.id, of: place(other.host) }
  }
  return undefined
}

/** Whether an instance that was made of the image is on this host, or on its way there. */
export async function hasInstanceOf(db: Db, host: string, image: string): Promise<boolean> {
  const row = await db
    .selectFrom('allocations as a')
    .innerJoin('instances as i', 'i.id', 'a.instance_id')
    .select('i.id')
    .where('a.host', '=', host)
    .where('i.image_id', '=', image)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

const hasStepOf = (steps: readonly Step[], host: string): boolean => steps.some((step) => step.host === host)

const place = (host: string | null): string => (host === null ? 'no host' : `host ${host}`)
