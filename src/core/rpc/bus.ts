import type { Api, Contract } from './contract.ts'

/** Where a message goes: to any server of the contract's topic, or to the one on `server` (a host name). */
export type Target = { server?: string }

export type ServeOptions = {
  /** The name of this server: it listens on `<topic>`, `<topic>.<server>` and the topic's fanout. */
  server: string
  /** How many requests it works on at once; the broker holds back the rest (prefetch). */
  slots: number
  /** `false`: listen on `<topic>.<server>` and fanout only, not on the shared `<topic>`. */
  shared?: boolean
}

/** A contract and what carries it out. */
export type Served<C extends Contract = Contract> = { contract: C; api: Api<C> }
export const served = <C extends Contract>(contract: C, api: Api<C>): Served => ({ contract, api }) as unknown as Served

/** An event as it arrives: its routing key and its body. */
export type Heard = { key: string; body: unknown }

/**
 * A process's link to the bus. It reconnects by itself and declares everything anew; `call` and `cast` made while it is
 * down wait for it a moment, then fail with `BusDown`.
 */
export type Bus = {
  /** The caller's side of a contract. call: `HostUnreachable`, `CallTimeout`, `BusDown`, or what the other side failed with. */
  client<C extends Contract>(contract: C, target?: Target): Api<C>
  /** Casts to every server of the topic. */
  fanout<C extends Contract>(contract: C): Api<C>
  /** Serves contracts of one topic until the returned function is called (it stops taking, then waits for what runs). */
  serve(services: readonly Served[], options: ServeOptions): Promise<() => Promise<void>>
  /** Publishes a body on the events exchange (topic). Never waits for a reader. */
  publish(key: string, body: unknown): Promise<void>
  /** Hears what is published under the patterns (`*` one word, `#` any) until the returned function is called. */
  subscribe(patterns: readonly string[], hear: (event: Heard) => void): Promise<() => Promise<void>>
  /** Called with true and false as the link comes and goes. */
  onLink(listener: (up: boolean) => void): () => void
  readonly up: boolean
  /** Waits for what was sent to be confirmed, then hangs up. */
  close(): Promise<void>
}
