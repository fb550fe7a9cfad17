import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import { notificationsPolicy } from '../contracts/broker.ts'
import { isMissing, type Management } from './management.ts'

/** The limits of a queue that only people read. */
export type Bounds = { readonly maxLength: number; readonly ttlSeconds: number }

const Policy = z.object({
  pattern: z.string(),
  definition: z.record(z.string(), z.unknown()),
  'apply-to': z.string(),
})

/**
 * Makes sure that the policy for notifications is in force as configured; true if it had to be set. `ManagementFailed`.
 */
export async function keepNotificationsPolicy(
  management: Management,
  vhost: string,
  { maxLength, ttlSeconds }: Bounds,
): Promise<boolean> {
  const path = ['policies', vhost, notificationsPolicy.name]
  const wanted = {
    pattern: notificationsPolicy.pattern,
    definition: { 'max-length': maxLength, overflow: 'drop-head', 'message-ttl': Math.ceil(ttlSeconds * 1000) },
    'apply-to': 'queues',
  }
  const there = await management('GET', path).catch((e) => (isMissing(e) ? undefined : Promise.reject(e)))
  // Its priority is up to the operator: only one policy applies to a queue, the one with the highest priority.
  if (isDeepStrictEqual(Policy.safeParse(there).data, wanted)) return false
  await management('PUT', path, wanted)
  return true
}
