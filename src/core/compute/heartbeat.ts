import { isFailure, reason } from '../base/errors.ts'
import { isUnavailable } from '../base/retry.ts'
import { compute } from '../contracts/compute.ts'
import { serviceContext } from '../model/context.ts'
import { silentFor } from '../model/health.ts'
import type { Serving } from '../rpc/bus.ts'
import { type ComputeDeps, selfOf } from './deps.ts'
import type { Engine } from './engine.ts'
import { reportOf } from './join.ts'

type HeartbeatDeps = Pick<
  ComputeDeps,
  'agent' | 'clock' | 'conductors' | 'driver' | 'host' | 'ids' | 'incarnation' | 'log' | 'options'
>

/** What this host understands. */
const spoken = { [compute.topic]: compute.version }

/**
 * One heartbeat a call: renews the leases of what is in hand, lets go of what the conductor says, and now and then tells
 * what the host has to give (at once, if its accelerator is not the one that the hello told any more), and each time how long it has not heard itself: its word gets through where it is deaf, too.
 * `onStranger` is called where the conductor does not know this life of the host, or not these words.
 */
export function heartbeats(
  deps: HeartbeatDeps,
  engine: Engine,
  serving: Pick<Serving, 'lastPongAt'>,
  accelerator: string | undefined,
  onStranger: (e: unknown) => void,
): () => Promise<void> {
  const { agent, clock, driver, ids, log, options } = deps
  // A lost answer must not cost more than one beat, or leases would lapse.
  const timeoutMs = options.heartbeatSeconds * 1000
  let reportedAt = clock.now()
  /** The accelerator that the conductor knows of. */
  let told = accelerator
  let away = false
  // Leases are renewed all the same.
  const unknown = (e: unknown) => log.warn({ err: e }, 'the driver does not say what this host has')

  return async () => {
    const resources = await driver.resources().catch(unknown)
    const due = clock.now() - reportedAt >= options.reportSeconds * 1000
    // A KVM that was given up is news at once.
    const report = resources && (due || resources.accelerator !== told) ? reportOf(driver, resources) : undefined
    const silentMs = silentFor(serving.lastPongAt, clock.now())
    const said = {
      ...selfOf(deps),
      operations: engine.inHand(),
      contracts: spoken,
      ...(silentMs === undefined ? {} : { silentMs }),
      ...(report ? { report } : {}),
      ...(report && resources?.acceleratorWhy ? { acceleratorWhy: resources.acceleratorWhy.slice(0, 1000) } : {}),
    }
    try {
      const ctx = serviceContext('compute', ids.requestId())
      const { lost, cancelled, contracts } = await agent.heartbeat(ctx, said, { timeoutMs })
      deps.conductors.learn(contracts)
      for (const operation of lost) engine.lose(operation)
      for (const operation of cancelled) engine.cancel(operation)
    } catch (e) {
      // A conductor that is older than the last one: what it understands is to be heard anew.
      if (isFailure(e, 'UnsupportedVersion')) deps.conductors.learn(undefined)
      if (!isUnavailable(e)) return onStranger(e)
      log[away ? 'debug' : 'warn']({ why: reason(e) }, 'no conductor hears this host')
      away = true
      return
    }
    if (away) log.info('a conductor hears this host again')
    away = false
    if (!report) return
    reportedAt = clock.now()
    told = report.accelerator
  }
}
