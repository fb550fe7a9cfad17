import * as z from 'zod'
import { Failure, isFailure } from '../base/errors.ts'
import { newPassword } from '../base/ids.ts'
import type { BusQueue, broker } from '../contracts/broker.ts'
import { fullestQuery, leftOut } from '../model/bus-queues.ts'
import { hostConnections } from '../model/bus-user.ts'
import type { QueueDepth } from '../rpc/bus.ts'
import type { Api } from '../rpc/contract.ts'
import { isMissing, type Management } from './management.ts'

type Deps = {
  readonly management: Management
  readonly vhost: string
  /** The bus's URL with another login. */
  readonly urlOf: (user: string, password: string) => string
  /** The numbers of queues from AMQP: exact now, while those of the management API are some seconds old. */
  readonly depths: (names: readonly string[]) => Promise<QueueDepth[]>
}

const count = z.int().nonnegative().optional()
const rate = z.object({ rate: z.number() }).optional()
const Queue = z.object({
  name: z.string(),
  messages: count,
  messages_ready: count,
  messages_unacknowledged: count,
  consumers: count,
  memory: count,
  policy: z.string().nullish(),
  message_stats: z.object({ publish_details: rate, deliver_get_details: rate, ack_details: rate }).optional(),
})
/** A page of queues. */
const Queues = z.object({ items: z.array(Queue), total_count: z.int().nonnegative() })
const Overview = z.object({
  product_name: z.string().optional(),
  rabbitmq_version: z.string(),
  object_totals: z.object({ connections: count }).optional(),
})
const Node = z.object({
  name: z.string(),
  mem_used: count,
  mem_limit: count,
  mem_alarm: z.boolean().optional(),
  disk_free_alarm: z.boolean().optional(),
})

const unseen = 'Memory and alarms are visible only to management users with the tag "monitoring" (docs/rabbitmq.md).'
const isDefined = <T>(value: T | undefined): value is T => value !== undefined

/** RabbitMQ's management API as the broker's keeper, for one virtual host. */
export function rabbitmqBroker({ management, vhost, urlOf, depths }: Deps): Api<typeof broker> {
  /** Only users with the tag `monitoring` may see nodes; everything else is reported without. */
  const nodes = async () => {
    const list = await management('GET', ['nodes']).catch(orRefused)
    return list === undefined ? undefined : z.array(Node).parse(list)
  }

  /** Only users with the tag `policymaker` may see policies. */
  const policies = async () => {
    const list = await management('GET', ['policies', vhost]).catch(orRefused)
    return list === undefined ? undefined : z.array(z.object({ name: z.string() })).parse(list)
  }

  return {
    async queueList() {
      const [overview, members, inForce, queues] = await Promise.all([
        management('GET', ['overview']).then((answer) => Overview.parse(answer)),
        nodes(),
        policies(),
        management('GET', ['queues', vhost], { query: fullestQuery }).then((answer) => Queues.parse(answer)),
      ])
      const { connections } = overview.object_totals ?? {}
      const missing = [members === undefined ? unseen : undefined, leftOut(queues.total_count)].filter(isDefined)
      return {
        broker: {
          product: overview.product_name ?? 'RabbitMQ',
          version: overview.rabbitmq_version,
          ...(connections === undefined ? {} : { connections }),
          ...(inForce === undefined ? {} : { policies: inForce.map(({ name }) => name) }),
          ...(members === undefined ? {} : health(members)),
          ...(missing.length === 0 ? {} : { partial: missing.join(' ') }),
        },
        queues: queues.items.map(shown),
      }
    },

    async queuePurge(_ctx, { queue }) {
      const [before] = await depths([queue])
      try {
        await management('DELETE', ['queues', vhost, queue, 'contents'])
      } catch (e) {
        if (isMissing(e)) throw new Failure('QueueNotFound', { id: queue }, e)
        if (isLocked(e)) throw new Failure('InvalidRequest', lockedQueue(vhost, queue), e)
        throw e
      }
      return { messages: before?.messages ?? 0 }
    },

    async userPut(_ctx, { user, permissions: { configure, write, read, topics } }) {
      const known = await found(management('GET', ['users', user]))
      const password = newPassword()
      await management('PUT', ['users', user], { body: { password, tags: '' } })
      for (const [limit, value] of Object.entries(hostConnections))
        await management('PUT', ['user-limits', user, `max-${limit}`], { body: { value } })
      // Topics first: a user without permissions can do nothing at all.
      for (const topic of topics) await management('PUT', ['topic-permissions', vhost, user], { body: topic })
      await management('PUT', ['permissions', vhost, user], { body: { configure, write, read } })
      if (known) await found(management('DELETE', ['connections', 'username', user]))
      return { known, password, url: urlOf(user, password) }
    },

    // RabbitMQ closes the connections of a user that is deleted.
    userDelete: async (_ctx, { user }) => ({ known: await found(management('DELETE', ['users', user])) }),
  }
}

/** The management API connects to RabbitMQ like any client, and an exclusive queue is closed to it. */
const isLocked = (e: unknown): boolean =>
  isFailure(e, 'ManagementFailed') && e.params.why.includes('exclusive access to locked queue')

const lockedQueue = (vhost: string, queue: string) => ({
  what: `${queue} is exclusive to the connection of its daemon; RabbitMQ does not let the management API purge it.`,
  hint: `On a node of RabbitMQ: rabbitmqctl purge_queue -p ${vhost} ${queue}. Or stop the daemon: the queue is deleted with its connection.`,
})

/** Whether the object of a request existed. */
async function found(request: Promise<unknown>): Promise<boolean> {
  try {
    await request
    return true
  } catch (e) {
    if (isMissing(e)) return false
    throw e
  }
}

/** Undefined if the management user may not see it. */
function orRefused(e: unknown): undefined {
  if (isFailure(e, 'ManagementFailed') && (e.params.status === 401 || e.params.status === 403)) return undefined
  throw e
}

function health(members: ReadonlyArray<z.infer<typeof Node>>) {
  const sum = (of: (node: z.infer<typeof Node>) => number | undefined) =>
    members.reduce((total, node) => total + (of(node) ?? 0), 0)
  return {
    blocked: members.flatMap(({ name, mem_alarm, disk_free_alarm }) => [
      ...(mem_alarm ? [`memory alarm on ${name}`] : []),
      ...(disk_free_alarm ? [`disk alarm on ${name}`] : []),
    ]),
    memoryBytes: sum((node) => node.mem_used),
    memoryLimitBytes: sum((node) => node.mem_limit),
  }
}

/** A queue that was just created has no counts yet. */
function shown(queue: z.infer<typeof Queue>): BusQueue {
  const { publish_details, deliver_get_details, ack_details } = queue.message_stats ?? {}
  const known = {
    ready: queue.messages_ready,
    unacked: queue.messages_unacknowledged,
    memoryBytes: queue.memory,
    publishRate: publish_details?.rate ?? 0,
    deliverRate: deliver_get_details?.rate ?? 0,
    ackRate: ack_details?.rate ?? 0,
    policy: queue.policy || undefined,
  }
  return {
    name: queue.name,
    messages: queue.messages ?? 0,
    consumers: queue.consumers ?? 0,
    ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)),
  }
}
