import type { Decision } from '../contracts/shapes.ts'
import { isUniqueViolation } from '../db/dialect.ts'
import type { Db } from '../db/handle.ts'
import { insertRows } from '../db/insert.ts'

/** Keeps the scheduler's record of a placement; a later one of the same operation takes its place. */
export async function saveDecision(
  db: Db,
  { operationId, instanceId, decision }: { operationId: string; instanceId: string; decision: Decision },
): Promise<void> {
  const row = { instance_id: instanceId, at: decision.at, record: JSON.stringify(decision) }
  const update = () => db.updateTable('decisions').set(row).where('operation_id', '=', operationId).executeTakeFirst()
  try {
    await insertRows(db, 'decisions', [{ operation_id: operationId, ...row }])
  } catch (e) {
    if (!isUniqueViolation(e)) throw e
    await update()
  }
}

/** The newest record of how an instance came to its host, or why it did not. */
export async function decisionOn(db: Db, instanceId: string): Promise<Decision | undefined> {
  const row = await db
    .selectFrom('decisions')
    .select('record')
    .where('instance_id', '=', instanceId)
    .orderBy('at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && (JSON.parse(row.record) as Decision)
}
