import * as z from 'zod'
import { call, cast, contract } from '../rpc/contract.ts'
import { Decision, Id, Metadata, Size, Text } from './shapes.ts'

/** What placement needs to know of an instance that is to be. */
export const RequestSpec = z.object({
  projectId: Text,
  size: Size,
  hints: Metadata,
  availabilityZone: Text.optional(),
  forcedHost: Text.optional(),
  /** Hosts that may not be chosen: the operation has failed there already, or the instance is there now. */
  excluded: z.array(Text).max(1_000),
  /** The version of the contract `compute` that the host must speak. */
  needs: Text,
})
export type RequestSpec = z.infer<typeof RequestSpec>

/** Everything that may be asked of the schedulers; any one of them answers. */
export const scheduler = contract('scheduler', '2.1', {
  /** Finds a host for the instance of this operation, claims room there and tells the host. A duplicate is a no-op. */
  place: cast(z.object({ operation: Id })),
  /** The decision that would be taken now; nothing is written. */
  decide: call(RequestSpec, Decision),
  /** Answers as soon as a scheduler serves. */
  ping: call(z.object({}), z.object({ version: z.string() })),
})
