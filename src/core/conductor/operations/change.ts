import type { Instance, Published } from '../../contracts/shapes.ts'
import type { Db } from '../../db/open.ts'
import { tx } from '../../db/tx.ts'
import { eventKey } from '../../model/event.ts'
import { addEvents } from '../../store/events.ts'
import type { ConductorDeps } from '../deps.ts'

/** Something that has happened, before it has its number. */
export type Note = Omit<Published, 'id'>

/**
 * Changes the state of the cloud: one transaction, the events that `fn` notes stored with it, and told to the world once
 * it is committed. `fn` may run several times, so it does nothing but read and write rows.
 */
export async function change<T>(
  deps: Pick<ConductorDeps, 'db' | 'publish'>,
  fn: (db: Db, note: (event: Note) => void) => Promise<T>,
): Promise<T> {
  let published: Published[] = []
  const result = await tx(deps.db, async (db) => {
    const notes: Note[] = []
    const result = await fn(db, (event) => notes.push(event))
    const events = notes.length > 0 ? await addEvents(db, notes) : []
    published = events.map((event, i) => ({ ...(notes[i] as Note), id: event.id }))
    return result
  })
  for (const event of published) announce(deps, event)
  return result
}

/** Tells the world of an event. */
export function announce({ publish }: Pick<ConductorDeps, 'publish'>, event: Published): void {
  publish(eventKey(event), event)
}

type About = Pick<Note, 'at' | 'instanceId' | 'instanceName' | 'operationId' | 'requestId' | 'projectId' | 'userId'>

/** What any event of an operation says. */
export const about = (
  operation: {
    id: string
    instanceId: string
    instanceName: string
    requestId: string
    projectId: string
    userId?: string
  },
  at: number,
): About => ({
  at,
  instanceId: operation.instanceId,
  instanceName: operation.instanceName,
  operationId: operation.id,
  requestId: operation.requestId,
  projectId: operation.projectId,
  ...(operation.userId === undefined ? {} : { userId: operation.userId }),
})

/** The host an event names, where there is one. */
export const hostOf = ({ host }: Pick<Instance, 'host'>): { host?: string } => (host === undefined ? {} : { host })
