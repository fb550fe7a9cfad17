import { deferred } from '../core/base/concurrency.ts'
import { isUnavailable } from '../core/base/retry.ts'
import type { Event, Published } from '../core/contracts/shapes.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { progressText } from './progress.ts'

type RequestSpec = { instance?: string; after?: number; limit?: number }

type Deps = {
  readonly bus: Pick<Bus, 'subscribe' | 'onLink'>
  /** Events after an id, as the conductor keeps them. */
  readonly list: (request: RequestSpec) => Promise<Event[]>
  readonly show: (event: Event) => void
}

/** How many events are requested at once after the bus connection was lost. */
const catchUpLimit = 10_000
/**
 * How many ids before the last one are requested again: two transactions may take their ids in one order and commit, or
 * publish, in the other.
 */
const overlap = 200

/**
 * Shows the last events and then each new one as it arrives, once, until `signal` aborts. Events that were missed while
 * the connection was lost are requested when it is back.
 */
export async function followEvents(
  { bus, list, show }: Deps,
  request: RequestSpec,
  signal: AbortSignal,
): Promise<void> {
  /** Events before the first one shown are never shown. */
  let floor = request.after
  let last = floor ?? -1
  /** The ids that were shown; old ones are forgotten. */
  const shown = new Set<number>()
  /** Events that came while a request to the conductor is open; undefined if none is. */
  let early: Event[] | undefined = []
  let catchingUp = Promise.resolve()
  const { promise: ended, resolve: end, reject: fail } = deferred()
  signal.addEventListener('abort', () => end())
  if (signal.aborted) end()

  const print = (event: Event): void => {
    // Steps are published but not stored: they have no id.
    if (event.id !== 0) {
      floor ??= event.id - 1
      if (event.id <= Math.max(floor, last - catchUpLimit) || shown.has(event.id)) return
      last = Math.max(last, event.id)
      shown.add(event.id)
      if (shown.size > 2 * catchUpLimit) for (const id of shown) if (id <= last - catchUpLimit) shown.delete(id)
    }
    show(event)
  }
  const onEvent = (event: Event): void => {
    if (request.instance !== undefined && ![event.instanceId, event.instanceName].includes(request.instance)) return
    if (early) early.push(event)
    else print(event)
  }
  const ask = async (from: RequestSpec): Promise<void> => {
    early ??= []
    for (const event of await list(from)) print(event)
    for (const event of early.sort((a, b) => a.id - b.id)) print(event)
    early = undefined
  }
  const unsubscribe = await bus.subscribe(['#'], ({ body }) => onEvent(described(body as Published)))
  const offLink = bus.onLink((up) => {
    if (!up) return
    const from = { ...request, after: Math.max(floor ?? 0, last - overlap, 0), limit: catchUpLimit }
    catchingUp = catchingUp.then(() => ask(from)).catch((e) => (isUnavailable(e) ? undefined : fail(e)))
  })
  try {
    catchingUp = ask(request)
    await catchingUp
    await ended
  } finally {
    offLink()
    await unsubscribe().catch(() => undefined)
  }
}

/** A step, or progress in one, as an event that says so in its message. */
function described(event: Published): Event {
  const { kind, step, undoing, progress } = event.operation ?? {}
  if (event.type === 'operation.step' && step)
    return { ...event, message: `${kind}: ${undoing ? 'undoing ' : ''}${step}` }
  if (event.type === 'operation.progress' && progress)
    return { ...event, message: `${kind}: ${progressText(progress)}` }
  return event
}
