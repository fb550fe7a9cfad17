import * as z from 'zod'
import { call, cast, contract } from '../rpc/contract.ts'
import { Id } from './shapes.ts'

/** Everything that one may ask of the host that runs an instance (topic `compute`, server = the host). */
export const compute = contract('compute', '2.1', {
  /**
   * A leg of this operation is for this host, or the operation has news for an executor that holds one: the host claims it.
   * A duplicate is a no-op.
   */
  run: cast(z.object({ operation: Id })),
  /** What a guest wrote to its serial console: the last `lines` lines, all if unset, at most 1 MiB. */
  consoleLog: call(z.object({ instance: Id, lines: z.int().positive().optional() }), z.object({ text: z.string() })),
  /** Answers as soon as the host serves, and says which life of it. */
  ping: call(z.object({}), z.object({ host: z.string(), incarnation: z.string() })),
})
