import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import { notificationsPolicy } from '../contracts/broker.ts'
import { hostsPolicy } from '../model/bus-user.ts'
import { isMissing, type Management } from './management.ts'

/** The limits of a queue that only people read. */
export type Bounds = { readonly maxLength: number; readonly ttlSeconds: number }

const Policy = z.object({
  pattern: z.string(),
  definition: z.record(z.string(), z.unknown()),
  'apply-to': z.string(),
})

/** The policies of a cloud by name: for queues of notifications, and for those of hosts. */
const policies = ({ maxLength, ttlSeconds }: Bounds): Record<string, z.infer<typeof Policy>> => ({
  [notificationsPolicy.name]: {
    pattern: notificationsPolicy.pattern,
    definition: { 'max-length': maxLength, overflow: 'drop-head', 'message-ttl': Math.ceil(ttlSeconds * 1000) },
    'apply-to': 'queues',
  },
  [hostsPolicy.name]: {
    pattern: hostsPolicy.pattern,
    definition: {
      'max-length-bytes': hostsPolicy.maxLengthBytes,
      overflow: 'drop-head',
      expires: hostsPolicy.expiresMs,
    },
    'apply-to': 'queues',
  },
})

/** Makes sure that the policies are in force as configured; returns the names of those that had to be set. `ManagementFailed`. */
export async function keepPoliciesOf(management: Management, vhost: string, bounds: Bounds): Promise<string[]> {
  const set: string[] = []
  for (const [name, wanted] of Object.entries(policies(bounds))) {
    const path = ['policies', vhost, name]
    const there = await management('GET', path).catch((e) => (isMissing(e) ? undefined : Promise.reject(e)))
    // Its priority is up to the operator: only one policy applies to a queue, the one with the highest priority.
    if (isDeepStrictEqual(Policy.safeParse(there).data, wanted)) continue
    await management('PUT', path, { body: wanted })
    set.push(name)
  }
  return set
}
