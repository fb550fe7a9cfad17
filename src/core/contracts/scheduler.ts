import * as z from 'zod'
import { call, cast, contract } from '../rpc/contract.ts'
import { Decision, Id, Metadata, Size } from './shapes.ts'

/** What placement needs to know of an instance that is to be. */
export const RequestSpec = z.object({
  projectId: z.string(),
  size: Size,
  hints: Metadata,
  availabilityZone: z.string().optional(),
  forcedHost: z.string().optional(),
  /** Hosts on which this boot has failed already. */
  excluded: z.array(z.string()),
})
export type RequestSpec = z.infer<typeof RequestSpec>

/** Everything that may be asked of the schedulers; any one of them answers. */
export const scheduler = contract('scheduler', '1.0', {
  /** Finds a host for the instance of this operation, claims room there and tells the host. A duplicate is a no-op. */
  place: cast(z.object({ operation: Id })),
  /** The decision that would be taken now; nothing is written. */
  decide: call(RequestSpec, Decision),
  /** Answers as soon as a scheduler serves. */
  ping: call(z.object({}), z.object({ version: z.string() })),
})
