import { type Fault, type Instance, instanceOf, type Published } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { tx } from '../db/tx.ts'
import { eventKey } from '../model/event.ts'
import { addEvents } from '../store/events.ts'
import type { OperationRecord } from '../store/operation-record.ts'

/** Something that has happened, before it has its number. */
export type NewEvent = Omit<Published, 'id'>

/** What changing the state of the cloud leans on. */
export type ChangeDeps = { readonly db: Db; readonly publish: (key: string, event: Published) => void }

/**
 * Changes the state of the cloud: one transaction, the events that `fn` emits stored with it, and published once it is
 * committed. `fn` may run several times, so it does nothing but read and write rows.
 */
export async function change<T>(
  deps: ChangeDeps,
  fn: (db: Db, emit: (event: NewEvent) => void) => Promise<T>,
): Promise<T> {
  let published: Published[] = []
  const result = await tx(deps.db, async (db) => {
    const emitted: NewEvent[] = []
    const result = await fn(db, (event) => emitted.push(event))
    const events = emitted.length > 0 ? await addEvents(db, emitted) : []
    published = events.map((event, i) => ({ ...(emitted[i] as NewEvent), id: event.id }))
    return result
  })
  for (const event of published) announce(deps, event)
  return result
}

/** Publishes an event. */
export function announce({ publish }: Pick<ChangeDeps, 'publish'>, event: Published): void {
  publish(eventKey(event), event)
}

type About = Pick<
  NewEvent,
  'at' | 'instanceId' | 'instanceName' | 'subject' | 'operationId' | 'requestId' | 'projectId' | 'userId'
>

/** What any event of an operation says. */
export const about = (
  operation: Pick<OperationRecord, 'id' | 'subject' | 'requestId' | 'projectId'> & { userId?: string },
  at: number,
): About => {
  const { id: operationId, subject, requestId, projectId, userId } = operation
  const instance = instanceOf(subject)
  return {
    at,
    ...(instance ? { instanceId: instance.id, instanceName: instance.name } : { subject }),
    operationId,
    requestId,
    projectId,
    ...(userId === undefined ? {} : { userId }),
  }
}

/** What an event says of a failure. */
export const ofFault = ({ code, message }: Fault): Pick<NewEvent, 'code' | 'message'> => ({ code, message })

/** The host that an event names, if there is one. */
export const hostOf = ({ host }: Pick<Instance, 'host'>): { host?: string } => (host === undefined ? {} : { host })
