import type { StepContext, Verb, Verbs } from '../../agent/verb.ts'
import { assert } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Work } from '../../contracts/agent.ts'
import type { OperationKind } from '../../model/operation.ts'
import type { Driver, Guest } from '../../virt/driver.ts'
import type { Images } from '../images.ts'
import type { Transfers } from '../transfer.ts'

/** What a step of a compute host may touch; each takes of it what it needs. */
export type Tools = {
  readonly driver: Driver
  readonly images: Images
  /** Guests on their way from host to host. */
  readonly transfers: Transfers
  /** How long a guest may take to shut down before its power is cut, in ms. */
  readonly shutdownMs: number
  readonly log: Log
}

export type ComputeVerb<K extends OperationKind> = Verb<K, Tools>
export type ComputeVerbs = Verbs<Tools>
export type Context<K extends OperationKind = OperationKind> = StepContext<K>

/** The instance that the work is about. */
export function instanceOf({ instance }: Pick<Work, 'instance'>): NonNullable<Work['instance']> {
  assert(instance, 'the work is about an instance')
  return instance
}

/** The instance as the hypervisor knows it. */
export function guestOf(work: Pick<Work, 'instance'>): Guest {
  const instance = instanceOf(work)
  return {
    id: instance.id,
    name: instance.name,
    size: instance.size,
    metadata: instance.metadata,
    userData: instance.userData,
    publicKey: instance.key,
    generation: instance.generation,
    nics: instance.nics ?? [],
    disks: [],
  }
}
