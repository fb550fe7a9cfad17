import type { Engine } from '../agent/engine.ts'
import type { compute } from '../contracts/compute.ts'
import type { Api } from '../rpc/contract.ts'
import type { ComputeDeps } from './deps.ts'

/** Everything that may be asked of this host, and who answers. */
export const computeManager = (
  { driver, host, incarnation }: Pick<ComputeDeps, 'driver' | 'host' | 'incarnation'>,
  engine: Pick<Engine, 'run'>,
): Api<typeof compute> => ({
  // Answered when it is claimed: a console log must not wait behind operations.
  run: (ctx, { operation }) => engine.run(ctx, operation).claimed,
  consoleLog: async (_, { instance, lines }) => ({ text: await driver.consoleLog(instance, lines) }),
  ping: async () => ({ host, incarnation }),
})
