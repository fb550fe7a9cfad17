import { existsSync } from 'node:fs'
import { systemClock } from '../core/base/clock.ts'
import { systemIds } from '../core/base/ids.ts'
import { silentLog } from '../core/base/log.ts'
import { busPurge, busStatus } from '../core/conductor/actions/bus.ts'
import type { Config } from '../core/config/load.ts'
import { busIsEmbedded, keeperUrl, places } from '../core/config/places.ts'
import { broker } from '../core/contracts/broker.ts'
import type { conductor } from '../core/contracts/conductor.ts'
import type { Context } from '../core/model/context.ts'
import { connectBus } from '../core/rpc/connect.ts'
import type { Api, Args, Result } from '../core/rpc/contract.ts'

/** How long the keeper of the broker may take: it waits for nobody. */
const answerMs = 5_000

/**
 * Asks the keeper of this machine's own broker, past a memory alarm that holds back everybody else; undefined if the
 * broker is RabbitMQ or runs elsewhere. `BusDown` if it does not run, `Forbidden` if it belongs to another user.
 */
async function askKeeper<T>(config: Config, ask: (keeper: Api<typeof broker>) => Promise<T>): Promise<T | undefined> {
  if (!busIsEmbedded(config) || !existsSync(places(config.stateDir).keeperSocket)) return undefined
  const bus = await connectBus({
    url: keeperUrl(config),
    queues: config.bus.queues,
    name: 'nova-keeper',
    log: silentLog,
    clock: systemClock,
    ids: systemIds,
    callTimeoutMs: answerMs,
    connectTimeoutMs: answerMs,
  })
  try {
    return await ask(bus.client(broker))
  } finally {
    await bus.close()
  }
}

/** The queues of this machine's own broker, as the conductor would tell them; undefined if it is not the bus here. */
export const ownBusStatus = (
  config: Config,
  ctx: Context,
): Promise<Result<typeof conductor, 'busStatus'> | undefined> =>
  askKeeper(config, (broker) => busStatus({ broker }, ctx))

/** Drops the messages of a queue, as the conductor would; undefined if this machine's own broker is not the bus here. */
export const ownBusPurge = (
  config: Config,
  ctx: Context,
  args: Args<typeof conductor, 'busPurge'>,
): Promise<Result<typeof conductor, 'busPurge'> | undefined> =>
  askKeeper(config, (broker) => busPurge({ broker }, ctx, args))
