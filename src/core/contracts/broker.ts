import * as z from 'zod'
import { call, contract } from '../rpc/contract.ts'

/**
 * The policy that bounds queues which only people read. Listeners declare those themselves, and without arguments, so that
 * nothing but a policy can bound them.
 */
export const notificationsPolicy = { name: 'nova-notifications', pattern: '^(versioned_)?notifications\\.' }

/** A queue as the broker's keeper sees it; what it does not know is left out. Rates are messages a second. */
export const BusQueue = z.object({
  name: z.string(),
  /** All that it holds: what waits (`ready`) and what is out with consumers and not acknowledged (`unacked`). */
  messages: z.int().nonnegative(),
  ready: z.int().nonnegative().optional(),
  unacked: z.int().nonnegative().optional(),
  consumers: z.int().nonnegative(),
  memoryBytes: z.int().nonnegative().optional(),
  publishRate: z.number().nonnegative().optional(),
  deliverRate: z.number().nonnegative().optional(),
  ackRate: z.number().nonnegative().optional(),
  /** The policy that bounds it. */
  policy: z.string().optional(),
})
export type BusQueue = z.infer<typeof BusQueue>

/** The broker itself. */
export const BusBroker = z.object({
  product: z.string(),
  version: z.string().optional(),
  /** Why publishers are held back, as "memory alarm on rabbit@host"; empty: they are not; absent: it is not known. */
  blocked: z.array(z.string()).optional(),
  connections: z.int().nonnegative().optional(),
  memoryBytes: z.int().nonnegative().optional(),
  memoryLimitBytes: z.int().nonnegative().optional(),
  /** Names of the policies in force; absent: not known. */
  policies: z.array(z.string()).optional(),
  /** What is missing in this answer, and which option brings it. */
  partial: z.string().optional(),
})
export type BusBroker = z.infer<typeof BusBroker>

const Pattern = z.string().max(2000)
/** What a user may do, as `core/model/bus-user.ts` has it. */
const Permissions = z.object({
  configure: Pattern,
  write: Pattern,
  read: Pattern,
  topics: z.array(z.object({ exchange: z.string().max(255), write: Pattern, read: Pattern })).max(16),
})
const User = z.string().min(1).max(255)

/**
 * What may be asked of whoever keeps the broker: the embedded broker answers it on the bus; for RabbitMQ the conductor has
 * the same functions over its management API (`core/rabbitmq`).
 */
export const broker = contract('broker', '1.0', {
  /** The broker and the queues in the cloud's virtual host, a bounded number. `ManagementFailed`. */
  queueList: call(z.object({}), z.object({ broker: BusBroker, queues: z.array(BusQueue) })),
  /** Throws away what waits in a queue and says how many messages that were. `QueueNotFound`, `ManagementFailed`. */
  queuePurge: call(z.object({ queue: z.string().min(1).max(255) }), z.object({ messages: z.int().nonnegative() })),
  /**
   * Makes a user with a new password and these permissions. One that is there (`known`) gets them instead of its own, and its
   * connections are closed. `url`: how another machine reaches the broker as this user; absent if it listens for none.
   * `ManagementFailed`.
   */
  userPut: call(
    z.object({ user: User, permissions: Permissions }),
    z.object({ known: z.boolean(), password: z.string(), url: z.string().optional() }),
  ),
  /** Removes a user and closes its connections; one that is not there is no failure. `ManagementFailed`. */
  userDelete: call(z.object({ user: User }), z.object({ known: z.boolean() })),
})
