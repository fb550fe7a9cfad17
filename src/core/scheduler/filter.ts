import type { RequestSpec } from '../contracts/scheduler.ts'
import type { HostState } from './host-state.ts'

/** What is asked of every host alike. */
export type Question = {
  readonly spec: RequestSpec
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Where the instances that the hints name are: instance id to host name; absent those that are nowhere. */
  readonly hostOf: ReadonlyMap<string, string>
}

/** Why a host was turned away. */
export type Refusal = {
  /** For this host, with numbers: "wants 2048 MiB of memory, 512 MiB left of 4096". */
  readonly reason: string
  /** What it has in common with others: "with too little memory"; the summary counts hosts by it. */
  readonly group: string
  /** How far it fell short; the summary shows the one that came nearest. */
  readonly short?: { readonly has: number; readonly wants: number; readonly unit: string }
}

/** Undefined lets the host through. */
export type Filter = (host: HostState, question: Question) => Refusal | undefined
