import type { conductor } from '../core/contracts/conductor.ts'
import type { Result } from '../core/rpc/contract.ts'
import { type Cell, view } from './view.ts'

/** The broker with its queues, as the conductor reports them. */
export type BusStatus = Result<typeof conductor, 'busStatus'>
type Queue = BusStatus['queues'][number]

/** A queue; `in`, `out` and `acked` are messages per second. */
export const queueView = view<Queue, Record<string, (q: Queue) => Cell | undefined>>(
  {
    queue: (q) => q.name,
    owner: (q) => q.owner,
    messages: (q) => q.messages,
    ready: (q) => q.ready,
    unacked: (q) => q.unacked,
    consumers: (q) => q.consumers,
    in: (q) => q.publishRate,
    out: (q) => q.deliverRate,
    acked: (q) => q.ackRate,
    memory_bytes: (q) => q.memoryBytes,
    policy: (q) => q.policy,
    advice: (q) => q.advice,
  },
  ['queue', 'owner', 'messages', 'ready', 'unacked', 'consumers', 'in', 'out'],
)

/** The whole answer, for programs. */
export const busView = view<BusStatus, Record<string, (s: BusStatus) => Cell | undefined>>({
  broker: ({ broker }) => ({
    product: broker.product,
    version: broker.version ?? null,
    connections: broker.connections ?? null,
    memory_bytes: broker.memoryBytes ?? null,
    memory_limit_bytes: broker.memoryLimitBytes ?? null,
    blocked: broker.blocked ?? null,
    policies: broker.policies ?? null,
    partial: broker.partial ?? null,
  }),
  queues: ({ queues }) => queues.map(queueView.row),
})

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** The broker in one line, for people. */
export function brokerLine({
  product,
  version,
  connections,
  memoryBytes,
  memoryLimitBytes,
  blocked,
}: BusStatus['broker']): string {
  const state =
    blocked === undefined
      ? undefined
      : blocked.length === 0
        ? 'accepts messages'
        : `ACCEPTS NO MESSAGES: ${blocked.join(', ')}`
  const limit = memoryLimitBytes === undefined ? '' : ` of ${mib(memoryLimitBytes)}`
  return [
    version === undefined ? product : `${product} ${version}`,
    connections === undefined ? undefined : `${connections} connections`,
    memoryBytes === undefined ? undefined : `${mib(memoryBytes)}${limit} of memory`,
    state,
  ]
    .filter((part) => part !== undefined)
    .join('; ')
}

/** Keys to sort queues by: largest first, but names from A to Z. */
export const orders = ['messages', 'name', 'unacked', 'consumers', 'in', 'out'] as const

/** Sorted; by default queues that need attention come first, then the fullest. */
export function sorted(queues: readonly Queue[], by: (typeof orders)[number] | undefined): Queue[] {
  const byName = (a: Queue, b: Queue) => a.name.localeCompare(b.name)
  if (by === 'name') return [...queues].sort(byName)
  const measure: Record<Exclude<(typeof orders)[number], 'name'>, (q: Queue) => number> = {
    messages: (q) => q.messages,
    unacked: (q) => q.unacked ?? 0,
    consumers: (q) => q.consumers,
    in: (q) => q.publishRate ?? 0,
    out: (q) => q.deliverRate ?? 0,
  }
  const of = measure[by ?? 'messages']
  const worry = (q: Queue) => (by === undefined && q.advice !== undefined ? 1 : 0)
  return [...queues].sort((a, b) => worry(b) - worry(a) || of(b) - of(a) || byName(a, b))
}
