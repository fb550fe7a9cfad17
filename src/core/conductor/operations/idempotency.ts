import { createHash } from 'node:crypto'
import { fail } from '../../base/errors.ts'
import type { Db } from '../../db/handle.ts'
import type { Context } from '../../model/context.ts'
import type { OperationKind } from '../../model/operation.ts'
import type { OperationRecord } from '../../store/operation-record.ts'
import { forgetKeys, operationsOfKey } from '../../store/operations.ts'

/** The same key means the same request for a day. */
export const keyMs = 86_400_000

/** A caller's idempotency key as rows keep it: unique to the project, and of one length. */
export const keyOf = (ctx: Context, key: string): string =>
  createHash('sha256')
    .update(JSON.stringify([ctx.projectId, key]))
    .digest('hex')

/**
 * The operations of this kind that a key has begun, as long as it counts; an older key is free again. `InvalidRequest` if it
 * has begun something else.
 */
export async function begunUnder(
  db: Db,
  key: string,
  { kind, now, matches = () => true }: { kind: OperationKind; now: number; matches?: (o: OperationRecord) => boolean },
): Promise<OperationRecord[]> {
  const begun = await operationsOfKey(db, key)
  if (begun.some(({ createdAt }) => createdAt < now - keyMs)) {
    // Only now: MySQL locks all rows that an update looks at.
    await forgetKeys(db, now - keyMs, key)
    return []
  }
  const [first] = begun
  if (first && (first.kind !== kind || !matches(first)))
    fail('InvalidRequest', {
      what: `This idempotency key has begun another request: ${first.kind} ${first.subject.name}.`,
    })
  return begun
}

/**
 * Does what a request asks for, or finds what the same request has begun already (`before`). Looks again if it fails: the
 * same request at the same moment was first then, and this one may have met its key, its operation or its share of the quota.
 */
export async function once<B, M>(
  find: () => Promise<B | undefined>,
  make: () => Promise<M>,
): Promise<{ before: B; made?: undefined } | { before?: undefined; made: M }> {
  const before = await find()
  if (before) return { before }
  try {
    return { made: await make() }
  } catch (e) {
    const twin = await find()
    if (twin) return { before: twin }
    throw e
  }
}
