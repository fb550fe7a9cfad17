import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { agent } from '../contracts/agent.ts'
import type { Api } from '../rpc/contract.ts'
import type { SpokenBy } from '../rpc/versions.ts'
import type { Driver } from '../virt/driver.ts'

type ComputeOptions = {
  readonly heartbeatSeconds: number
  /** How often it calls itself through the bus. */
  readonly pingSeconds: number
  /** How often resources and power states are told. */
  readonly reportSeconds: number
  /** How long a guest may take to shut down before its power is cut. */
  readonly shutdownTimeout: number
  /** Operations carried out at once. */
  readonly slots: number
  /** Unused image files are removed beyond this; absent: never. */
  readonly imageCacheGb?: number
  /** An image is not fetched where less than this would stay free on its disk; 1 where nothing is said. */
  readonly minFreeDiskGb?: number
}

/** All that a compute host leans on. No database here, on purpose: what it must know comes with the operation. */
export type ComputeDeps = {
  readonly host: string
  /** The identity kept in the state directory, see {@link hostIdentity}. */
  readonly hostId: string
  /** This life of the daemon: new at every start. */
  readonly incarnation: string
  readonly availabilityZone: string
  readonly version: string
  readonly driver: Driver
  /** What a host may say to the conductor. */
  readonly agent: Api<typeof agent>
  /** What the conductors understand, as they last said; what `agent` sends heeds it. */
  readonly conductors: Pick<SpokenBy, 'learn'>
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  /** This host's image cache; no other host may use the same directory. */
  readonly imageDir: string
  readonly options: ComputeOptions
}

/** Who speaks, as each message of a host says it. */
export const selfOf = ({ host, incarnation }: Pick<ComputeDeps, 'host' | 'incarnation'>) => ({ host, incarnation })
