import type { Clock } from '../core/base/clock.ts'
import { isFailure } from '../core/base/errors.ts'
import { isUnavailable } from '../core/base/retry.ts'
import type { Instance, Published } from '../core/contracts/shapes.ts'
import type { InstanceState } from '../core/model/instance.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { CommandError } from './command-error.ts'
import { isPublishedOnly } from './operation-after.ts'
import { askAnywayMs, patienceMs, type WaitOptions } from './wait.ts'
import { aborted, openWakeup } from './wakeup.ts'

type Deps = {
  readonly bus: Pick<Bus, 'subscribe' | 'onLink'>
  readonly clock: Clock
  readonly show: (instance: string) => Promise<Instance>
  readonly onProgress?: (instance: Instance) => void
}

/**
 * Waits until an instance is idle in status `wanted` or, if `wanted` is undefined, idle in any status. Returns the
 * instance; undefined if it was to be DELETED and is gone. Fails if the instance ends in ERROR instead, or is deleted.
 */
export async function awaitInstance(
  { bus, clock, show, onProgress }: Deps,
  name: string,
  wanted: InstanceState | 'DELETED' | undefined,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<Instance | undefined> {
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + timeoutMs
  const wakeup = openWakeup(clock)
  let seen = await show(name).catch((e: unknown) => gone(e, wanted))
  if (!seen || hasArrived(seen, wanted)) return seen
  const { id } = seen
  let lastAnswer = clock.now()
  const unsubscribe = await bus.subscribe([`#.${id}.*`], ({ body }) => {
    if (!isPublishedOnly((body as Published).type)) wakeup.notify()
  })
  const offLink = bus.onLink((up) => up && wakeup.notify())
  const stopped = aborted(signal)
  signal?.addEventListener('abort', wakeup.notify)
  try {
    for (;;) {
      try {
        const now = await Promise.race([show(id), stopped])
        if (now) {
          seen = now
          lastAnswer = clock.now()
          onProgress?.(now)
          if (hasArrived(now, wanted)) return now
        }
      } catch (e) {
        if (isFailure(e, 'InstanceNotFound')) return gone(e, wanted, seen?.name)
        if (!isUnavailable(e) || clock.now() - lastAnswer > patienceMs) throw e
      }
      if (signal?.aborted) throw new CommandError('The waiting was interrupted.', `See it: nova show ${name}`, 130)
      if (clock.now() >= deadline) throw tooLong(seen, wanted, timeoutMs ?? 0)
      await wakeup.wait(Math.min(askAnywayMs, deadline - clock.now()))
    }
  } finally {
    signal?.removeEventListener('abort', wakeup.notify)
    offLink()
    await unsubscribe().catch(() => undefined)
  }
}

function hasArrived(seen: Instance, wanted: InstanceState | 'DELETED' | undefined): boolean {
  if (seen.status === 'BUILD') return wanted === 'BUILD'
  if (seen.task !== undefined) return false
  if (wanted === undefined ? seen.status !== 'ERROR' : seen.status === wanted) return true
  if (seen.status !== 'ERROR') return false
  const text = `${seen.name} is in ERROR: ${seen.fault?.message ?? 'no reason was recorded'}`
  throw new CommandError(text, seen.fault?.hint ?? `Details: nova show ${seen.name}`, 1)
}

function gone(e: unknown, wanted: string | undefined, was?: string): undefined {
  if (isFailure(e, 'InstanceNotFound')) {
    if (wanted === 'DELETED') return undefined
    if (was !== undefined)
      throw new CommandError(`${was} was deleted in the meantime.`, 'List the others: nova list', 1)
  }
  throw e
}

function tooLong(seen: Instance | undefined, wanted: string | undefined, timeoutMs: number): CommandError {
  const now = seen ? `${seen.name} is ${seen.status}${seen.task ? ` (${seen.task})` : ''}` : 'It does not answer'
  const text = `${now} after ${timeoutMs / 1000} s${wanted ? `, not ${wanted}` : ''}.`
  const { operation } = seen ?? {}
  return new CommandError(
    text,
    operation ? `Follow it: nova operation follow ${operation.id}` : 'Wait longer: --timeout SECONDS',
    1,
  )
}
