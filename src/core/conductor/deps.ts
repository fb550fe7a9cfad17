import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { broker } from '../contracts/broker.ts'
import type { compute } from '../contracts/compute.ts'
import type { scheduler } from '../contracts/scheduler.ts'
import type { Published } from '../contracts/shapes.ts'
import type { Db } from '../db/open.ts'
import type { Overcommit } from '../model/capacity.ts'
import type { QuotaOptions } from '../model/quota.ts'
import type { Api } from '../rpc/contract.ts'
import type { Speakers } from '../rpc/speakers.ts'
import type { Hearing } from '../service/hearing.ts'
import type { KnownOperations } from './operations/known.ts'
import type { Uploads } from './uploads.ts'

/** What the conductor may be told; the configuration has the defaults and the reasons. */
export type ConductorOptions = {
  /** How long a host holds an operation that it does not renew. */
  readonly leaseSeconds: number
  readonly sweepSeconds: number
  /** How long an operation that nobody took up waits before its message goes out again. */
  readonly resendSeconds: number
  /** How many hosts a boot is tried on. */
  readonly maxAttempts: number
  readonly heartbeatSeconds: number
  readonly serviceDownTime: number
  /** How often a daemon calls itself through the bus. */
  readonly pingSeconds: number
  readonly eventsMax: number
  readonly historyDays: number
  readonly operationsDays: number
  /** What a project may use if it has no limits of its own; -1 for no limit. */
  readonly quota: QuotaOptions
  readonly placement: Overcommit
}

/** All that a conductor leans on. It opens the database, and touches no host but by message. */
export type ConductorDeps = {
  readonly db: Db
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly version: string
  /** The host that this daemon runs on, and one life of it. */
  readonly hostName: string
  readonly incarnation: string
  /** The compute service of one host. */
  readonly computeOn: (host: string) => Api<typeof compute>
  readonly scheduler: Api<typeof scheduler>
  /** Whoever keeps the broker: the embedded one itself, or RabbitMQ's management. */
  readonly broker: Api<typeof broker>
  /** Which versions of the contracts the other daemons speak. */
  readonly speakers: Speakers
  /** When this process's link to the bus last came back, in milliseconds since the epoch; see `core/rpc/back-at.ts`. */
  readonly busBackAt: () => number | undefined
  /** What the operations are about that this conductor has given to hosts lately. */
  readonly knownOperations: KnownOperations
  /** Since when hosts could be heard without a break. */
  readonly hearing: Hearing
  /** Sends an event on its way; never waits for a reader. */
  readonly publish: (key: string, event: Published) => void
  /** Where image files are kept. */
  readonly imageDir: string
  /** Image files that are coming in there. */
  readonly uploads: Uploads
  readonly options: ConductorOptions
}
