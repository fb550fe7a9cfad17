import type { OperationSummary, Published } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'

/** Whether an event of this type tells of a step and is not stored: it changes nothing but the operation. */
export const isPublishedOnly = (type: string): boolean => type === 'operation.step' || type === 'operation.progress'

/**
 * An open operation as it is after an event about it; an operation that has ended stays as it is. Progress is that of one
 * step and goes with it; a report of progress changes nothing else, because several hosts may report.
 */
export function operationAfter<O extends OperationSummary>(
  before: O,
  { type, at, host, operation: reported }: Pick<Published, 'type' | 'at' | 'host' | 'operation'>,
): O {
  if (!reported || !isOpen(before.state)) return before
  if (type === 'operation.progress') {
    const { state, progress } = reported
    return progress === undefined ? before : { ...before, state, progress }
  }
  const { progress: _progress, undoing, fault, ...rest } = before
  const ended = !isOpen(reported.state)
  // What made it undo its steps stays its fault, unless it begins again elsewhere or succeeds.
  const keepsFault = fault !== undefined && (reported.undoing || (ended && undoing && reported.state !== 'succeeded'))
  return {
    ...rest,
    ...(keepsFault ? { fault } : {}),
    ...reported,
    ...(host === undefined ? {} : { host }),
    ...(ended ? { finishedAt: at } : {}),
  } as O
}
