import type { Work } from '../../contracts/agent.ts'
import type { OperationKind, operationKinds } from '../../model/operation.ts'
import type { Driver, Guest } from '../../virt/driver.ts'
import type { Images } from '../images.ts'

/** What a step may touch; each takes of it what it needs. */
export type Tools = {
  readonly driver: Driver
  readonly images: Images
  /** How long a guest may take to shut down before its power is cut. */
  readonly graceMs: number
}

/** An idempotent step: done twice, or begun by a daemon that was killed and done again by the next, it ends the same. */
type Step = (tools: Tools, work: Work, signal: AbortSignal) => Promise<void>

/** The steps of a kind that are the host's; `place` is the scheduler's. */
type HostStep<K extends OperationKind> = Exclude<(typeof operationKinds)[K]['steps'][number], 'place'>

/** A kind of operation as this host carries it out. A missing step does not compile, nor does one too many. */
export type Verb<K extends OperationKind = OperationKind> = {
  readonly steps: Readonly<Record<OperationKind extends K ? string : HostStep<K>, Step>>
  /** Takes back all that the steps made on the host; content to find nothing. Only where failing must leave nothing. */
  readonly undo?: (tools: Tools, work: Work) => Promise<void>
}

/** The instance as the hypervisor knows it. */
export const guestOf = ({ instance }: Work): Guest => ({
  id: instance.id,
  name: instance.name,
  size: instance.size,
  metadata: instance.metadata,
  userData: instance.userData,
  publicKey: instance.key,
  generation: instance.generation,
  nics: [],
  disks: [],
})
