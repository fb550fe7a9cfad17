import type { Clock } from '../core/base/clock.ts'
import { isUnavailable } from '../core/base/retry.ts'
import type { OperationSummary, Published } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'
import type { Bus, Received } from '../core/rpc/bus.ts'
import { CommandError } from './command-error.ts'
import { isPublishedOnly, operationAfter } from './operation-after.ts'
import { aborted, openWakeup } from './wakeup.ts'

/** What waiting depends on. */
export type WaitDeps = {
  readonly bus: Pick<Bus, 'subscribe' | 'onLink'>
  readonly clock: Clock
  /** Requests the current state of an operation. */
  readonly show: (id: string) => Promise<OperationSummary>
  /** Called with the progress of an operation. */
  readonly onProgress?: (operation: OperationSummary) => void
}

/** How long to wait, and how to stop waiting. */
export type WaitOptions = {
  /** How long to wait for all operations; if undefined, without limit: every operation has a deadline of its own. */
  readonly timeoutMs?: number | undefined
  /** Stops the waiting; the operations continue. */
  readonly signal?: AbortSignal | undefined
}

/** Events may be lost with the broker that carried them: the conductor is polled this often in any case. */
export const askAnywayMs = 10_000
/** How soon to ask again if an end was announced but the conductor's answer does not show it yet. */
const askAgainMs = 200
/** How long the conductor or the bus may be unavailable before the waiting fails. */
export const patienceMs = 60_000

const ended = ({ state }: Pick<OperationSummary, 'state'>): boolean => !isOpen(state)
/**
 * Waits for operations to end, whatever their outcome, and returns them in the order of `ids`. It subscribes first and
 * asks afterwards, so that no end is missed in between. From then on events report, and it polls only if the connection
 * was lost, and rarely otherwise.
 */
export async function awaitOperations(
  deps: WaitDeps,
  ids: readonly string[],
  { timeoutMs, signal }: WaitOptions = {},
): Promise<OperationSummary[]> {
  const { bus, clock } = deps
  const wakeup = openWakeup(clock)
  const watch = openWatch(deps, ids, wakeup.notify)
  const patterns = ids.map((id) => `#.${id}`)
  const unsubscribe = await bus.subscribe(patterns, watch.onEvent)
  const offLink = bus.onLink((up) => up && watch.askForAll())
  const stopped = aborted(signal)
  signal?.addEventListener('abort', wakeup.notify)
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + timeoutMs
  try {
    for (;;) {
      await Promise.race([watch.ask(), stopped])
      const open = watch.open()
      if (open.length === 0) return watch.all()
      if (signal?.aborted) throw stoppedWaiting(open.map((row) => row.id))
      if (clock.now() >= deadline) throw waitedEnough(open, timeoutMs ?? 0)
      const woken = await wakeup.wait(Math.min(watch.announced() ? askAgainMs : askAnywayMs, deadline - clock.now()))
      if (!woken) watch.askForAll()
    }
  } finally {
    signal?.removeEventListener('abort', wakeup.notify)
    offLink()
    await unsubscribe().catch(() => undefined)
  }
}

/** What is known of the awaited operations, and which of them to poll. */
function openWatch({ clock, show, onProgress }: WaitDeps, ids: readonly string[], notify: () => void) {
  const known = new Map<string, OperationSummary>()
  const open = new Set(ids)
  const toAsk = new Set(ids)
  const announced = new Set<string>()
  let lastAnswer = clock.now()

  const record = (operation: OperationSummary): void => {
    // An end is final: an answer that was sent before it is older.
    if (!open.has(operation.id)) return
    known.set(operation.id, operation)
    onProgress?.(operation)
    if (ended(operation)) open.delete(operation.id)
  }
  const askOne = async (id: string): Promise<void> => {
    try {
      const operation = await show(id)
      lastAnswer = clock.now()
      record(operation)
    } catch (e) {
      // The first answer is awaited as any other: an operation that never existed does not appear later.
      if (!known.has(id) || !isUnavailable(e) || clock.now() - lastAnswer > patienceMs) throw e
    }
  }
  return {
    async ask(): Promise<void> {
      const asked = [...toAsk].filter((id) => open.has(id))
      toAsk.clear()
      await Promise.all(asked.map(askOne))
    },
    onEvent({ key, body }: Received): void {
      const id = key.slice(key.lastIndexOf('.') + 1)
      if (!open.has(id)) return
      const event = body as Published
      const { type, operation: told } = event
      const operation = known.get(id)
      if (operation && told && (ended(told) || isPublishedOnly(type))) {
        record(operationAfter(operation, event))
        if (ended(told)) notify()
        return
      }
      if (told && ended(told)) announced.add(id)
      toAsk.add(id)
      notify()
    },
    askForAll(): void {
      for (const id of open) toAsk.add(id)
      notify()
    },
    /** Whether an end was announced that the conductor's answer does not show yet. */
    announced: (): boolean => [...announced].some((id) => open.has(id)),
    open: (): Array<{ id: string; operation: OperationSummary | undefined }> =>
      [...open].map((id) => ({ id, operation: known.get(id) })),
    all: (): OperationSummary[] => ids.map((id) => known.get(id)!),
  }
}

const followHint = (ids: readonly string[]): string =>
  `Follow it: ${ids.map((id) => `nova operation follow ${id}`).join('; ')}`

function stoppedWaiting(ids: readonly string[]): CommandError {
  const what = ids.length === 1 ? 'the operation continues' : `${ids.length} operations continue`
  return new CommandError(`The waiting was interrupted: ${what}.`, followHint(ids), 130)
}

type Open = ReturnType<ReturnType<typeof openWatch>['open']>
function waitedEnough(open: Open, timeoutMs: number): CommandError {
  const at = open.map(({ operation }) =>
    operation
      ? `${operation.kind} of ${operation.subject.name}${operation.step ? ` at step "${operation.step}"` : ''}`
      : 'unknown',
  )
  const text = `Not done after ${timeoutMs / 1000} s: ${at.join(', ')}. ${at.length > 1 ? 'They continue' : 'It continues'}.`
  return new CommandError(text, followHint(open.map((row) => row.id)), 1)
}

/** The failure of an operation as the error that ends the command; undefined if the operation succeeded. */
export function failureOf(operation: OperationSummary): CommandError | undefined {
  const { kind, state, subject, fault, step, id } = operation
  if (state === 'succeeded') return undefined
  if (state === 'cancelled') return new CommandError(`The ${kind} of ${subject.name} was cancelled.`, fault?.hint, 1)
  const where = step ? ` at step "${step}"` : ''
  const text = `The ${kind} of ${subject.name} failed${where}: ${fault?.message ?? 'no reason was recorded'}`
  return new CommandError(text, fault?.hint ?? `Details: nova operation show ${id}`, 1)
}
