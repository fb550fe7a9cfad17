import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { compute } from '../contracts/compute.ts'
import type { Published } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import type { Api } from '../rpc/contract.ts'
import type { Speakers } from '../rpc/speakers.ts'
import type { Hearing } from '../service/hearing.ts'
import type { SchedulerOptions } from './options.ts'

/** All that a scheduler leans on. It opens the database, and touches no host but by message. */
export type SchedulerDeps = {
  readonly db: Db
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly version: string
  /** The host that this daemon runs on, and one life of it. */
  readonly hostName: string
  readonly incarnation: string
  /** The compute service of one host. */
  readonly computeOn: (host: string) => Pick<Api<typeof compute>, 'run'>
  /** Which versions of the contracts the other daemons speak. */
  readonly speakers: Speakers
  /** Since when there has been no break of the bus or the database. */
  readonly hearing: Hearing
  /** Sends an event on its way; never waits for a reader. */
  readonly publish: (key: string, event: Published) => void
  readonly options: SchedulerOptions
}
