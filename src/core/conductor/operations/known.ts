import type { Db } from '../../db/handle.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import { findOperation } from '../../store/operations.ts'

/** What an operation is about. None of it ever changes, unlike how far the operation is. */
export type KnownOperation = Pick<OperationRecord, 'id' | 'kind' | 'subject' | 'requestId' | 'projectId' | 'userId'>

/** More than are open at once on many hosts; each is a few hundred bytes. */
const knownMax = 10_000

/** The operations that this conductor has given to hosts lately: it need not read one for each of its steps. */
export class KnownOperations {
  readonly #known = new Map<string, KnownOperation>()

  record({ id, kind, subject, requestId, projectId, userId }: KnownOperation): void {
    if (this.#known.size >= knownMax) this.#known.delete(this.#known.keys().next().value as string)
    this.#known.set(id, { id, kind, subject, requestId, projectId, userId })
  }

  /** One query if another conductor has given it away. Undefined if there is no such operation. */
  async find(db: Db, id: string): Promise<KnownOperation | undefined> {
    return this.#known.get(id) ?? (await findOperation(db, id))
  }
}
