import type { AgentDeps } from '../agent/deps.ts'
import type { computeAgent } from '../contracts/compute-agent.ts'
import type { Api } from '../rpc/contract.ts'
import type { Driver } from '../virt/driver.ts'

type ComputeOptions = AgentDeps['options'] & {
  /** How often it calls itself through the bus. */
  readonly pingSeconds: number
  /** How often resources and power states are told. */
  readonly reportSeconds: number
  /** Seconds that a guest may take to shut down before its power is cut. */
  readonly shutdownTimeout: number
  /** Unused image files are removed beyond this; absent: never. */
  readonly imageCacheGb?: number
  /** An image is not fetched if less than this would stay free on its disk; 1 if unset. */
  readonly minFreeDiskGb?: number
  /** Where other hosts' disks are received. */
  readonly migrationAddress: string
  readonly migrationPort: number
}

/** All that a compute host leans on. */
export type ComputeDeps = AgentDeps & {
  readonly availabilityZone: string
  readonly driver: Driver
  /** What a compute host may say to the conductors beside the engine's messages. */
  readonly computeAgent: Api<typeof computeAgent>
  /** This host's image cache; no other host may use the same directory. */
  readonly imageDir: string
  readonly options: ComputeOptions
}

/** Who speaks, as each message of a compute host says it. */
export const selfOf = ({ host, incarnation }: Pick<ComputeDeps, 'host' | 'incarnation'>) => ({ host, incarnation })
