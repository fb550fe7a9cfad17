import { isFailure, reason } from '../base/errors.ts'
import { backoffMs } from '../base/retry.ts'
import { type Context, serviceContext } from '../model/context.ts'
import { type AgentDeps, speakerOf } from './deps.ts'
import type { Engine } from './engine.ts'

/**
 * Tells the conductor that this daemon is there, again and again until it answers; then what the service itself has to say
 * (`introduce`), lets operations in (`spoken`: the versions that this host understands), and takes up those that are this host's. `HostMismatch` if the name is another
 * machine's.
 */
export async function hello(
  deps: AgentDeps,
  engine: Engine,
  { spoken, introduce }: { spoken: Readonly<Record<string, string>>; introduce: (ctx: Context) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  const { agent, clock, hostId, ids, log, service, version } = deps
  for (let n = 0; !signal.aborted; n++) {
    try {
      const ctx = serviceContext(service, ids.requestId())
      const { operations, contracts } = await agent.hello(ctx, {
        ...speakerOf(deps),
        hostId,
        version,
        contracts: spoken,
      })
      deps.conductors.record(contracts)
      await introduce(ctx)
      log.info({ operations: operations.length }, 'joined')
      engine.open()
      for (const operation of operations) void engine.run(ctx, operation)
      return
    } catch (e) {
      if (isFailure(e, 'HostMismatch')) throw e
      log.warn({ why: reason(e) }, 'could not join the cloud; retrying')
    }
    await clock.sleep(backoffMs(n, ids.random()), signal)
  }
}
