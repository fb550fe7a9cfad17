import { Failure, isFailure, reason } from '../base/errors.ts'
import { isUnavailable } from '../base/retry.ts'
import { serviceContext } from '../model/context.ts'
import { silentFor } from '../model/health.ts'
import type { Serving } from '../rpc/bus.ts'
import { type AgentDeps, speakerOf } from './deps.ts'
import type { Engine } from './engine.ts'

/**
 * One heartbeat a call: renews the leases of what is held, tells how far it is, lets go of what the conductor says, and tells
 * how long the host has not heard itself: the heartbeat gets through when nothing comes in, too. `spoken`: the versions that
 * this host understands. `onStranger` is called if the conductor does not know this life of the host, or not these words;
 * `onLost` if it says that something is not this host's any more.
 */
export function heartbeats(
  deps: AgentDeps,
  engine: Engine,
  serving: Pick<Serving, 'lastPongAt'>,
  spoken: Readonly<Record<string, string>>,
  on: { stranger: (e: unknown) => void; lost: () => void },
): () => Promise<void> {
  const { agent, clock, ids, log, options, service } = deps
  // A lost answer must not cost more than one beat, or leases would lapse.
  const timeoutMs = options.heartbeatSeconds * 1000
  let unavailable = false

  return async () => {
    const silentMs = silentFor(serving.lastPongAt, clock.now())
    const held = engine.held()
    const report = {
      ...speakerOf(deps),
      operations: held.map(({ operation: id, progress }) => ({ id, ...(progress === undefined ? {} : { progress }) })),
      contracts: spoken,
      ...(silentMs === undefined ? {} : { silentMs }),
    }
    try {
      const { lost, cancelled, contracts } = await agent.heartbeat(serviceContext(service, ids.requestId()), report, {
        timeoutMs,
      })
      deps.conductors.record(contracts)
      // The answer is about what was held then: the next leg of an operation may be here by now.
      const named = (ids: string[]) => held.filter(({ operation }) => ids.includes(operation))
      for (const one of named(cancelled)) one.cancel(new Failure('OperationCancelled', { id: one.operation }))
      // What has told its end is not the host's any more for that alone, and hears by itself how that was taken.
      const gone = named(lost).filter(({ reporting }) => !reporting)
      for (const one of gone) one.abandon('it is not this host’s any more')
      if (gone.length > 0) on.lost()
    } catch (e) {
      // A conductor that is older than the last one: it has to say again what it understands.
      if (isFailure(e, 'UnsupportedVersion')) deps.conductors.record(undefined)
      if (!isUnavailable(e)) return on.stranger(e)
      log[unavailable ? 'debug' : 'warn']({ why: reason(e) }, 'conductor unreachable')
      unavailable = true
      return
    }
    if (unavailable) log.info('conductor reachable again')
    unavailable = false
  }
}
