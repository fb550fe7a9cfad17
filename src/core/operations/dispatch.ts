import type { Clock } from '../base/clock.ts'
import { Failure, isFailure, reason } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { compute } from '../contracts/compute.ts'
import type { scheduler } from '../contracts/scheduler.ts'
import type { Db } from '../db/handle.ts'
import type { Context } from '../model/context.ts'
import type { Api } from '../rpc/contract.ts'
import { isServiceUp } from '../store/services.ts'
import type { Dispatch } from './open.ts'

/** Whom a message about an operation may go to. */
export type DispatchDeps = {
  readonly computeOn: (host: string) => Pick<Api<typeof compute>, 'run'>
  readonly scheduler: Pick<Api<typeof scheduler>, 'place'>
}

/** Sends a host, or the schedulers, the message that a leg of an operation waits. `HostUnreachable` if nobody listens there. */
export async function dispatch(
  { computeOn, scheduler }: DispatchDeps,
  ctx: Context,
  { operation, service, host }: Dispatch,
): Promise<void> {
  switch (service) {
    case 'scheduler':
      return scheduler.place(ctx, { operation })
    case 'compute':
      return computeOn(host).run(ctx, { operation })
  }
}

/** Sends the messages that a transaction owes; the sweeper sends again those that could not be sent now. */
export async function dispatchAll(
  deps: DispatchDeps & { readonly log: Log },
  ctx: Context,
  dispatches: readonly Dispatch[],
): Promise<void> {
  await Promise.all(
    dispatches.map((message) =>
      dispatch(deps, ctx, message).catch((e) =>
        deps.log.info({ ...message, why: reason(e) }, 'dispatch failed; the sweeper will repeat it'),
      ),
    ),
  )
}

/** A daemon that reconnects to the bus is away for a moment; a caller hears of a failure within a second (invariant I6). */
const reconnectMs = 700
/** A broker that went away took everybody's link with it, and not all are back at the same moment. */
const returningMs = 10_000

type Patient = DispatchDeps & {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  /** When this process's link to the bus last came back; now, while it is still on its way back. */
  readonly busBackAt: () => number | undefined
  readonly options: { readonly serviceDownTime: number }
}

/**
 * Dispatches, and answers with the failure if nobody listens. A service that was up a moment ago gets the time of a
 * reconnect; if our own link has just come back, or is about to, the sweeper and the host's own return see to it. Any other
 * trouble is the sweeper's: the row is written, so the operation is not lost.
 */
export async function dispatchOrFail(
  deps: Patient,
  ctx: Context,
  message: Dispatch,
): Promise<Failure<'HostUnreachable'> | undefined> {
  const { clock, log } = deps
  let giveUp: number | undefined
  let up: boolean | undefined
  for (let waitMs = 50; ; waitMs *= 2) {
    try {
      await dispatch(deps, ctx, message)
      return undefined
    } catch (e) {
      if (!isFailure(e, 'HostUnreachable')) {
        log.warn({ ...message, err: e }, `dispatch failed; the sweeper will repeat it: ${reason(e)}`)
        return undefined
      }
      // From its return on: it may have waited for the link before it went out.
      giveUp ??= clock.now() + reconnectMs
      up ??= await wasUp(deps, message)
      if (up && clock.now() - (deps.busBackAt() ?? 0) < returningMs) {
        log.info({ ...message, target: e.params.target }, 'not back on the bus yet; the sweeper will dispatch')
        return undefined
      }
      if (!up || clock.now() + waitMs > giveUp) return new Failure('HostUnreachable', e.params, e)
    }
    await clock.sleep(waitMs)
  }
}

const wasUp = ({ db, clock, options }: Patient, { service, host }: Dispatch): Promise<boolean> =>
  isServiceUp(db, service, host === '' ? undefined : host, {
    now: clock.now(),
    downMs: options.serviceDownTime * 1000,
  })
