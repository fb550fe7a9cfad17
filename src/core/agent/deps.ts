import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { agent, HostService, Work } from '../contracts/agent.ts'
import type { PowerState } from '../model/instance.ts'
import type { Api } from '../rpc/contract.ts'
import type { SpokenBy } from '../rpc/versions.ts'

/** All that the host's half of the engine leans on. No database here, on purpose: what it must know comes with the work. */
export type AgentDeps = {
  readonly service: HostService
  readonly host: string
  /** The identity kept in the state directory, see {@link hostIdentity}. */
  readonly hostId: string
  /** This life of the daemon: new at every start. */
  readonly incarnation: string
  readonly version: string
  /** What a host may say to the conductors. */
  readonly agent: Api<typeof agent>
  /** What the conductors understand, as they last said; what `agent` sends heeds it. */
  readonly conductors: Pick<SpokenBy, 'record'>
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly options: {
    readonly heartbeatSeconds: number
    /** Legs carried out at once. */
    readonly slots: number
  }
}

/** What the service of a host brings beside its verbs. */
export type AgentHooks = {
  /** How the guest is, told at the end of each leg; undefined if the work is not about a guest. Never rejects. */
  observe(work: Work): Promise<PowerState | undefined>
}

/** Who speaks, as each message of a host says it. */
export const speakerOf = ({ service, host, incarnation }: Pick<AgentDeps, 'service' | 'host' | 'incarnation'>) => ({
  service,
  host,
  incarnation,
})
