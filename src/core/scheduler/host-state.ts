import type { Size } from '../model/instance.ts'

/** A compute host as placement sees it at one moment. */
export type HostState = {
  readonly name: string
  readonly availabilityZone: string
  /** What may be promised in all. */
  readonly limit: Size
  readonly used: Size
  readonly instances: number
  /** When a boot last failed here, in milliseconds since the epoch. */
  readonly failedAt: number | undefined
  /** Its compute service; undefined where none has reported. */
  readonly service: HostService | undefined
}

type HostService = {
  readonly disabled: boolean
  readonly disabledReason: string | undefined
  /** Milliseconds since the epoch. */
  readonly seenAt: number
  /** How long it had not heard itself then; undefined where it does not tell. */
  readonly silentMs?: number | undefined
}
