import type { Selectable } from 'kysely'
import { type Results, Results as ResultsSchema } from '../contracts/kinds.ts'
import type { Fault, Operation, OperationSummary, Step, Subject } from '../contracts/shapes.ts'
import type { Database } from '../db/schema.ts'
import type { InstanceState } from '../model/instance.ts'
import { isOpen, type OperationKind, type OperationState } from '../model/operation.ts'
import type { Leg } from './legs.ts'

/** What the placement of an operation has to heed. */
export type Placing = {
  /** Hosts that may not be chosen, because the operation has failed there; `faults` says why, in the same order. */
  excluded: string[]
  faults: Fault[]
  /** The caller named the host: no other will do. */
  forced?: string
}

/** An operation with what only the engine needs to know of it; its legs are rows of their own (`store/legs.ts`). */
export type OperationRecord = {
  id: string
  kind: OperationKind
  subject: Subject
  projectId: string
  userId: string
  args: unknown
  /** Only of a placed kind. */
  placing: Placing | undefined
  results: Results
  requestId: string
  state: OperationState
  stage: number
  undoing: boolean
  /** The step that was reached last; while it is open, its legs know better. */
  step: string | undefined
  steps: Step[]
  host: string | undefined
  attempt: number
  /** The state in which it found its instance. */
  before: InstanceState | undefined
  deadline: number
  cancelRequested: boolean
  retryOf: string | undefined
  fault: Fault | undefined
  createdAt: number
  finishedAt: number | undefined
}

const some = <K extends string, V>(key: K, value: V | null | undefined) =>
  (value === null || value === undefined ? {} : { [key]: value }) as { [k in K]?: V }

export type OperationRow = Selectable<Database['operations']>

/** A row as the engine knows it. */
export function toRecord(row: OperationRow): OperationRecord {
  return {
    id: row.id,
    kind: row.kind as OperationKind,
    subject: { kind: row.subject_kind as Subject['kind'], id: row.subject_id, name: row.subject_name },
    projectId: row.project_id,
    userId: row.user_id,
    args: JSON.parse(row.args),
    placing: row.placing === null ? undefined : (JSON.parse(row.placing) as Placing),
    results: row.results === null ? {} : ResultsSchema.parse(JSON.parse(row.results)),
    requestId: row.request_id,
    state: row.state as OperationState,
    stage: row.stage,
    undoing: row.undoing === 1,
    step: row.step ?? undefined,
    steps: JSON.parse(row.steps) as Step[],
    host: row.host ?? undefined,
    attempt: row.attempt,
    before: (row.before_state as InstanceState | null) ?? undefined,
    deadline: row.deadline,
    cancelRequested: row.cancel_requested === 1,
    retryOf: row.retry_of ?? undefined,
    fault: row.fault === null ? undefined : (JSON.parse(row.fault) as Fault),
    createdAt: row.created_at,
    finishedAt: row.finished_at ?? undefined,
  }
}

/** All steps of an operation in the order of their times: those of legs that are over, and those of its legs. */
export const stepsOf = (record: OperationRecord, legs: readonly Leg[]): Step[] =>
  [...record.steps, ...legs.flatMap(({ steps }) => steps)].sort((a, b) => a.at - b.at)

/** The leg that tells how far an operation is: one that runs, else one that waits, else none. */
const leading = (legs: readonly Leg[]): Leg | undefined =>
  legs.find(({ state }) => state === 'running' || state === 'undo-running') ??
  legs.find(({ state }) => state !== 'idle') ??
  undefined

/** The short form of an operation. */
export function summaryOfOperation(record: OperationRecord, legs: readonly Leg[]): OperationSummary {
  const lead = leading(legs)
  const step = isOpen(record.state) ? (lead?.step ?? stepsOf(record, legs).at(-1)?.name) : record.step
  const host = isOpen(record.state) ? (lead && lead.host !== '' ? lead.host : record.host) : record.host
  return {
    id: record.id,
    kind: record.kind,
    state: record.state,
    subject: record.subject,
    ...some('step', step),
    ...some('host', host),
    attempt: Math.max(record.attempt, ...legs.map(({ attempt }) => attempt)),
    requestId: record.requestId,
    createdAt: record.createdAt,
    ...some('finishedAt', record.finishedAt),
    ...(record.undoing && isOpen(record.state) ? { undoing: true } : {}),
    ...some('progress', legs.find(({ progress }) => progress !== undefined)?.progress),
    ...some('fault', record.fault),
  }
}

/** An operation with all that is recorded of it. */
export const fullOperation = (record: OperationRecord, legs: readonly Leg[]): Operation => ({
  ...summaryOfOperation(record, legs),
  steps: stepsOf(record, legs),
  hosts: legs.map((leg) => ({
    host: leg.host,
    role: leg.role,
    state: leg.state,
    ...some('step', leg.step),
    ...some('leaseUntil', leg.leaseUntil),
  })),
  deadline: record.deadline,
  cancelRequested: record.cancelRequested,
  userId: record.userId,
  projectId: record.projectId,
  ...some('retryOf', record.retryOf),
})
