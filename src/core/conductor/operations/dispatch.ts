import { Failure, isFailure, reason } from '../../base/errors.ts'
import type { Context } from '../../model/context.ts'
import { isServiceUp } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'

/** An operation that somebody is to hear of: the host that is to carry it out, or a scheduler where there is none yet. */
export type Message = { id: string; kind: string; host: string | undefined }

/** Tells the host, or a scheduler, that an operation exists. `HostUnreachable` where nobody listens there. */
export async function tell(
  { computeOn, scheduler }: Pick<ConductorDeps, 'computeOn' | 'scheduler'>,
  ctx: Context,
  { id, host }: Message,
): Promise<void> {
  if (host === undefined) await scheduler.place(ctx, { operation: id })
  else await computeOn(host).run(ctx, { operation: id })
}

/** A daemon that reconnects to the bus is away for a moment; a caller hears of a failure within a second (invariant I6). */
const patienceMs = 700
/** A broker that went away took everybody's link with it, and not all are back at the same moment. */
const returningMs = 10_000

/**
 * Tells, and answers with the failure where nobody listens. A service that was up a moment ago gets the time of a
 * reconnect; where our own link has just come back, it is left to the sweeper and to the host's own return. Any other trouble is the sweeper's: the row is written, so the operation is not lost.
 */
export async function tellOrHear(
  deps: ConductorDeps,
  ctx: Context,
  message: Message,
): Promise<Failure<'HostUnreachable'> | undefined> {
  const { clock, log } = deps
  const giveUp = clock.now() + patienceMs
  let up: boolean | undefined
  for (let waitMs = 50; ; waitMs *= 2) {
    try {
      await tell(deps, ctx, message)
      return undefined
    } catch (e) {
      if (!isFailure(e, 'HostUnreachable')) {
        log.warn({ operation: message.id, err: e }, `could not be told, the sweeper will: ${reason(e)}`)
        return undefined
      }
      up ??= await wasUp(deps, message.host)
      if (up && clock.now() - (deps.busBackAt() ?? 0) < returningMs) {
        log.info(
          { operation: message.id, target: e.params.target },
          'not back on the bus yet; the sweeper will tell it',
        )
        return undefined
      }
      if (!up || clock.now() + waitMs > giveUp) return new Failure('HostUnreachable', e.params, e)
    }
    await clock.sleep(waitMs)
  }
}

const wasUp = ({ db, clock, options }: ConductorDeps, host: string | undefined): Promise<boolean> =>
  isServiceUp(db, host === undefined ? 'scheduler' : 'compute', host, {
    now: clock.now(),
    downMs: options.serviceDownTime * 1000,
  })
