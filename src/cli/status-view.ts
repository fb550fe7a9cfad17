import type { conductor } from '../core/contracts/conductor.ts'
import { findProblems } from '../core/diagnosis/daemons.ts'
import { healthOf } from '../core/model/health.ts'
import type { QueueDepth } from '../core/rpc/bus.ts'
import type { Result } from '../core/rpc/contract.ts'
import { type Cell, iso, view } from './view.ts'

type Answer = Result<typeof conductor, 'status'>
type Status = Answer & { queues: readonly QueueDepth[] }

const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ') || 'none'

/** An older conductor does not report `degraded`: its degraded services count as up. */
const hostCounts = ({ hosts }: Answer) => ({ ...hosts, degraded: hosts.degraded ?? 0 })

/** `nova status`: a line for each kind of thing. */
export const statusView = view<Status, Record<string, (s: Status) => Cell | undefined>>({
  version: (s) => s.version,
  database: (s) => ({ dialect: s.database.dialect, version: s.database.version, migration: s.database.migration }),
  services: (s) =>
    s.services.map((service) => ({
      binary: service.binary,
      host: service.host,
      version: service.version,
      state: healthOf(service),
      status: service.status,
      seen_at: iso(service.seenAt),
      heard_at: iso(service.lastPongAt),
      contracts: service.contracts ?? null,
    })),
  daemons: (s) => s.daemons ?? null,
  queues: (s) =>
    s.queues.map((queue) => ({ name: queue.name, messages: queue.messages ?? null, consumers: queue.consumers })),
  hosts: (s) => hostCounts(s),
  instances: (s) => s.instances,
  operations: (s) => s.operations,
})

/** The queues that services consume. */
export const queueRows = view<QueueDepth, Record<string, (q: QueueDepth) => Cell | undefined>>({
  queue: (q) => q.name,
  messages: (q) => q.messages,
  consumers: (q) => q.consumers,
})

type DaemonCount = { binary: string; up: number; degraded: number; down: number }

/** Daemons by their binary, for callers who may not see hosts. */
export const daemonRows = view<DaemonCount, Record<string, (d: DaemonCount) => Cell | undefined>>({
  binary: (d) => d.binary,
  up: (d) => d.up,
  degraded: (d) => d.degraded,
  down: (d) => d.down,
})

/** The rows of {@link daemonRows}. */
export const daemonCounts = ({ daemons = {} }: Answer): DaemonCount[] =>
  Object.entries(daemons).map(([binary, count]) => ({ binary, ...count }))

/** The counts, for people: a line each. */
export const statusLines = (s: Answer): string =>
  [
    `version     ${s.version}`,
    `database    ${s.database.dialect} ${s.database.version}, at ${s.database.migration}`,
    `hosts       ${counts(hostCounts(s))}`,
    `instances   ${counts(s.instances)}`,
    `operations  ${counts(s.operations)}`,
  ]
    .concat(findProblems(s.services).map(({ found, fix }) => `${found}. ${fix}`))
    .map((line) => `${line}\n`)
    .join('')

/** The same in one line, for the end of `nova up`. */
export const oneLineStatus = (s: Answer): string =>
  `nova ${s.version}; database ${s.database.dialect}; hosts ${counts(hostCounts(s))}; instances ${counts(s.instances)}`
